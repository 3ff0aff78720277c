"""Units that an earlier build has finished in the same output folder: they are kept, not made again.

A dataset's folder is named by all that determines it, so with one more file of input, or another list of excluded addresses, it
is another dataset. Most of its units are the same: a unit says in its sidecar what *it* was made from (`made_from`), and its
parts are linked into the new folder if that is what the new dataset needs. The result has the same bytes as one made anew.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipelines.contract import files
from pipelines.contract.manifest import Sidecar, fingerprint
from pipelines.units.descriptor import Unit
from pipelines.units.parts import is_whole, read_sidecar, sidecar_uri

BASE = "base"  # the digest in `made_from` that must always be equal
OF_INPUT = frozenset(("name", "source", "uri", "bytes", "identity", "paths", "parameters"))  # fields of a unit that determine it
OF_GROUP = frozenset(("name", "source", "paths"))  # of a unit that groups parts of a dataset, whose digests are given apart

# From the folder of an earlier dataset, a sidecar in it and the wanted `made_from` to whether the unit would be the same. It is
# called if any digest but the base differs.
Holds = Callable[[str, Sidecar, Mapping[str, str]], bool]


def never(_uri: str, _sidecar: Sidecar, _wanted: Mapping[str, str]) -> bool:
    """Return False: every digest must be equal."""
    return False


def base(unit: Unit, *determining: object, fields: frozenset[str] = OF_INPUT) -> str:
    """Return the digest of a unit and of what determines its result, objects of JSON."""
    return fingerprint({"unit": unit.model_dump(mode="json", include=set(fields)), "by": list(determining)})


def keep(dataset_uri: str, units: Sequence[Unit], holds: Holds = never) -> list[Sidecar]:
    """Take over those units of earlier datasets that would become the same; return their sidecars."""
    wanted = {unit.name: unit for unit in units if unit.made_from}
    kept: list[Sidecar] = []
    for folder, name in _finished(dataset_uri) if wanted else ():
        unit = wanted.get(name)
        if unit is None:
            continue
        sidecar = read_sidecar(folder, name)
        if sidecar is not None and _is_same(folder, sidecar, unit.made_from, holds) and is_whole(folder, sidecar):
            kept.append(_linked(folder, dataset_uri, sidecar, unit.made_from))
            del wanted[name]
    return kept


def _finished(dataset_uri: str) -> Iterator[tuple[str, str]]:
    """Yield the folder and the name of each finished unit of the other datasets of this name."""
    parent, _, own = dataset_uri.rpartition("/")
    for found in files.walk(parent, lambda folder: _may_hold_units(folder, own)) if _is_there(parent) else ():
        folder, _, rest = found.path.partition("/")
        if rest.startswith("units/") and rest.endswith(".json"):
            yield files.join(parent, folder), rest.removeprefix("units/").removesuffix(".json")


def _may_hold_units(folder: str, own: str) -> bool:
    first, _, rest = folder.strip("/").partition("/")
    return first != own and rest in ("", "units")


def _is_there(uri: str) -> bool:
    return not files.is_local(uri) or files.exists(uri)


def _is_same(folder: str, sidecar: Sidecar, wanted: Mapping[str, str], holds: Holds) -> bool:
    if sidecar.made_from == wanted:
        return True
    return sidecar.made_from.get(BASE) == wanted[BASE] and holds(folder, sidecar, wanted)


def _linked(folder: str, dataset_uri: str, sidecar: Sidecar, made_from: Mapping[str, str]) -> Sidecar:
    for part in sidecar.parts:
        files.link(files.join(folder, part.path), files.join(dataset_uri, part.path))
    # What `holds` has compared is as wanted now; what the caller decides later is as it was.
    written = sidecar.model_copy(update={"made_from": {**sidecar.made_from, **made_from}})
    files.write_text(sidecar_uri(dataset_uri, sidecar.unit), written.model_dump_json())
    return written
