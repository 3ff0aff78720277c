"""The Prefect flow `pretrain`: one training as a process of its own (flows/deployments/process.py).

Its state is that of the process: a run that is cancelled in Prefect saves, and a flow run of the same parameters goes on from
there, as it does after a crash; of a finished run it only reports.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows.deployments.process import process
from pipelines.contract.settings import ConfigError

CONFIGS = Path("configs/pretrain")  # in the folder where the flow runs, as all paths
REPORT = "report.json"  # of a finished run
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
    """Pretrain a model on a tokens dataset; returns the path of its report.json.

    Args:
        family: gpt, bert, bart or t5.
        size: A size of the family that has a config: configs/pretrain/<family>_<size>.toml.
        tokens: A tokens dataset: its folder, its manifest.json, or the folder of a build that has one.
        out: Folder of the run; the same one goes on with it.
        config: Another TOML file, whatever the family and the size are called in it.
        overrides: Values of the config to change, as `section.key=value`.
    """
    base = config or config_of(CONFIGS, family, size)
    state = train(f"train {family}", base, [*placed(tokens, out), *(overrides or ())])
    return str(Path(out) / REPORT) if state.is_completed() else state


def train(name: str, config: str, overrides: Sequence[str]) -> "State[Any]":
    """Inside a flow: a task that runs `python -m training.run.pretrain` with this config; its state."""
    settings = [part for override in overrides for part in ("--set", override)]
    return process(name, [sys.executable, "-m", "training.run.pretrain", config, *settings])


def config_of(folder: Path, family: str, size: str) -> str:
    """The config file of a size. Raises ConfigError where it has none: another one's learning rate and steps would be wrong."""
    path = folder / f"{family}_{size}.toml"
    if not path.exists():
        there = ", ".join(sorted(found.stem.removeprefix(f"{family}_") for found in folder.glob(f"{family}_*.toml"))) or "none"
        raise ConfigError(f"{path}: no such file; sizes of {family} with a config: {there}. Write one, or name it in `config`")
    return str(path)


def placed(tokens: str, out: str) -> list[str]:
    """The overrides that say where a run reads and writes."""
    return [f"data.tokens={json.dumps(tokens)}", f"run.out={json.dumps(out)}"]
