"""The Prefect flow `pretrain`: one training in a separate process (flows/deployments/process.py).

The state of the flow run is that of the process. A run that is cancelled in Prefect saves a checkpoint; a flow run with the
same parameters resumes from there, as after a crash. A finished run is only reported.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows.deployments.process import process
from flows.program import corpusmill
from pipelines.contract import files
from pipelines.contract.settings import ConfigError

CONFIGS = Path("configs/pretrain")  # relative to the folder in which the flow runs, like all paths
REPORT = "report.json"  # in the folder of a finished run
DEMO = "demo"

Family = Literal["gpt", "bert", "bart", "t5"]


@flow(name="pretrain", flow_run_name="{family} {size} into {out}", validate_parameters=True)
def pretrain(
    family: Family = "gpt",
    size: str = DEMO,
    tokens: str = "build/demo",
    out: str = "build/demo-gpt",
    config: str | None = None,
    overrides: list[str] | None = None,
) -> "str | State[Any]":
    """Pretrain a model on a tokens dataset; return the path of its report.json.

    Args:
        family: gpt, bert, bart or t5.
        size: A size of the family that has a config: configs/pretrain/<family>_<size>.toml.
        tokens: A tokens dataset: its folder, its manifest.json, or the output folder of a build with one vocabulary.
        out: Folder of the run; an unfinished run in it is resumed.
        config: Another TOML file; `family` and `size` are then not used.
        overrides: Values of the config to change, as `section.key=value`.
    """
    base = config or config_of(CONFIGS, family, size)
    state = train(f"train {family}", base, [*placed(tokens, out), *(overrides or ())])
    return files.join(out, REPORT) if state.is_completed() else state


def train(name: str, config: str, overrides: Sequence[str]) -> "State[Any]":
    """Run `corpusmill pretrain` with this config as a task of the current flow; return its state."""
    settings = [part for override in overrides for part in ("--set", override)]
    return process(name, corpusmill("pretrain", config, *settings))


def config_of(folder: Path, family: str, size: str) -> str:
    """Return the config file of a size. Raises ConfigError if there is none: another size's learning rate would be wrong."""
    path = folder / f"{family}_{size}.toml"
    if not path.exists():
        sizes = sorted(config.stem.removeprefix(f"{family}_") for config in folder.glob(f"{family}_*.toml"))
        known = ", ".join(sizes) or "none"
        raise ConfigError(f"{path}: no such file; sizes of {family} with a config: {known}. Write one, or name it in `config`")
    return str(path)


def placed(tokens: str, out: str) -> list[str]:
    """Return the overrides that name what a run reads and where it writes."""
    return [f"data.tokens={json.dumps(tokens)}", f"run.out={json.dumps(out)}"]
