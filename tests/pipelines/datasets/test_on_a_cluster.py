"""Every pipeline of a build, as a cluster gets it: a proto that round-trips, with object-store URIs only, without a model."""

import base64
import bz2
import functools
import re
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from pipelines.beam import exchange, process_units, runners
from pipelines.beam.claims import Claims
from pipelines.clustering import components, pairs, ranks, survivors
from pipelines.clustering.candidates import BandRows, BucketStars
from pipelines.clustering.workspace import Chain, workspace_for
from pipelines.config import CorpusConfig
from pipelines.contract.manifest import Manifest
from pipelines.datasets import corpus, documents, tokens
from pipelines.datasets.corpus import CorpusJob
from pipelines.datasets.documents import DocumentsJob
from pipelines.datasets.index import IndexJob
from pipelines.datasets.repeat_rows import FindRepeats, Search, TextRows, UnitRuns
from pipelines.datasets.scores import ScoresJob
from pipelines.datasets.tokens import TokensJob
from pipelines.stages.base import Model
from pipelines.stages.judgement.rules import Judgement
from pipelines.stages.judgement.scorers import ModelFiles
from pipelines.units.context import Dataset, RunnerOptions
from pipelines.units.descriptor import Unit

OUT = "gs://bucket/out"
CONFIG = CorpusConfig.model_validate(
    {
        "corpus": {"name": "t"},
        "sources": [{"name": "s", "kind": "common_crawl", "root": "gs://bucket/in", "snapshot": "1"}],
        "vocabularies": [{"name": "gpt"}],
    }
)
UNIT = Unit(name="u", source="s", uri="a.warc.gz", root="gs://bucket/in", bytes=1, identity="x")
OPTIONS = RunnerOptions(
    "DataflowRunner",
    beam_arguments=("--project=my-project", "--region=europe-west1", "--temp_location=gs://bucket/tmp"),
)


def finished(name: str) -> Dataset:
    facts = {"enabled": True, "tokenizer": {"sha256": "0" * 64}}
    return Dataset(f"{OUT}/{name}/x", Manifest(dataset=name, fingerprint="0" * 64, made_from={}, parts=(), facts=facts))


LID = (Model(f"{OUT}/models/lid.ftz", "0" * 64),)
JOBS = {
    "documents": DocumentsJob(CONFIG.sources[0], documents.stages(CONFIG, CONFIG.sources[0], LID), None),
    "corpus": CorpusJob(
        {"documents/s": f"{OUT}/documents/s/x"},
        {},
        corpus.stages(CONFIG, *(finished(name) for name in ("clusters", "repeats", "reference", "rarity", "classifier")), LID),
    ),
    "scores": ScoresJob(
        {"documents/s": f"{OUT}/documents/s/x"}, f"{OUT}/clusters/x", None, Judgement.of(CONFIG), CONFIG.quality, ModelFiles()
    ),
    "index": IndexJob({"documents/s": f"{OUT}/documents/s/x"}, f"{OUT}/corpus/x"),
    "tokens": TokensJob(tokens.stages(finished("vocabulary/gpt"), 0.01)),
}
NAMES = [*JOBS, "clusters", "repeats", *(f"spilled {step}" for step in ("ranks", "pairs", "rounds", "components", "survivors"))]


def constructs() -> dict[str, Callable[[beam.Pipeline, Claims], None]]:
    maps = {
        name: functools.partial(process_units.construct_pipeline, [UNIT.model_dump_json()], f"{OUT}/{name}/x", job, True)
        for name, job in JOBS.items()
    }
    spill = f"{OUT}/clusters/x/spill"
    inputs = [("bands-00000", f'{{"parts": ["{OUT}/documents/s/x/signatures/u.arrow"]}}', 1)]
    functions = (BandRows(CONFIG.deduplicate, spill, 4), BucketStars(spill))
    found = workspace_for(CONFIG.deduplicate, spill, 10**9, 10**8, 10**12, 2**31)
    search = Search(
        CONFIG.repeats, Judgement.of(CONFIG), f"{OUT}/clusters/x", f"{OUT}/repeats/x", spill, {"lines": 4, "windows": 9}, 10**6
    )
    chains: dict[str, Chain] = {
        "clusters": (functions[0], functions[1:]),
        "repeats": (TextRows(search), (FindRepeats(search), UnitRuns(search))),
        "spilled ranks": ranks.rank_chain(found, Judgement.of(CONFIG)),
        "spilled pairs": pairs.first_chain(found),
        "spilled rounds": pairs.rounds_chain(found, range(1, 5), 64),
        "spilled components": components.rounds_chain(f"{spill}/components/000", 100),
        "spilled survivors": survivors.survivors_chain(found, 100, f"{OUT}/clusters/x"),
    }
    return maps | {name: functools.partial(exchange.construct_pipeline, inputs, *chain) for name, chain in chains.items()}


def test_all_pipelines_are_tried() -> None:
    assert list(constructs()) == NAMES


def unpacked(payload: bytes) -> bytes:
    """A transform's payload with its pickles (Beam packs them with bz2 and base64) unpacked, Beam's own source paths left out."""
    blocks = re.findall(rb"QlpoOT[A-Za-z0-9+/=]+", payload)
    plain = payload + b"".join(bz2.decompress(base64.b64decode(block)) for block in blocks)
    return plain.replace(str(Path(beam.__file__).parent).encode(), b"")


@pytest.mark.parametrize("name", NAMES)
def test_the_proto_names_no_local_path_and_holds_no_model(name: str) -> None:
    pipeline = beam.Pipeline(options=runners.cluster_options(OPTIONS))
    constructs()[name](pipeline, Claims(None))
    proto = pipeline.to_runner_api()
    again = beam.Pipeline.from_runner_api(proto, None, pipeline._options).to_runner_api()
    assert set(proto.components.transforms) == set(again.components.transforms)
    payloads = [unpacked(transform.spec.payload) for transform in proto.components.transforms.values()]
    for local in (str(Path.cwd()), str(Path.home()), "/tmp", "file://"):
        assert not any(local.encode() in payload for payload in payloads)
    assert any(OUT.encode() in payload for payload in payloads)
    assert max(map(len, payloads)) < 32_000
