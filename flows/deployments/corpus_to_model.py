"""The Prefect flow `corpus-to-model`: a build with its gates, then the families one after the other, then their losses.

A gate that does not pass ends the flow before anything is trained. Every training is a process of its own; the first one that
fails ends the flow, and another flow run of the same parameters goes on there.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State

from flows.deployments.corpus_build import corpus_build
from flows.deployments.pretrain import CONFIGS, DEMO, REPORT, Family, config_of, placed, train
from pipelines import config as corpus_config

FAMILIES: tuple[Family, ...] = ("gpt", "bert", "bart", "t5")


@flow(name="corpus-to-model", flow_run_name="{config} into {out} and {models}", validate_parameters=True)
def corpus_to_model(
    config: str = "configs/corpus/demo.toml",
    out: str = "build/demo",
    models: str = "build/demo-models",
    families: Sequence[Family] = FAMILIES,
    size: str = DEMO,
    budget: int | None = None,
    workers: int | None = None,
    limit: int | None = None,
    corpus_overrides: list[str] | None = None,
    pretrain_overrides: list[str] | None = None,
) -> "list[dict[str, Any]] | State[Any]":
    """Build a corpus and pretrain each family on it; returns a row of figures a family, which the artifact shows.

    Args:
        config: A TOML file of a corpus; its vocabulary needs the special pieces of all families.
        out: Output folder of the build; finished datasets in it are not built again.
        models: The run of a family lies in <models>/<family>; finished ones are not trained again.
        families: What is trained, in this order.
        size: Of each family, as in the flow `pretrain`; all of them need a config of this size.
        budget: UTF-8 bytes of text that each family sees, instead of its config's steps: then losses are of equal work.
        workers: Processes of the build; by default one a core.
        limit: A sample build: about so many documents of each source.
        corpus_overrides: Values of the corpus' config to change, as `section.key=value`.
        pretrain_overrides: And of every family's.

    Raises ConfigError for a size without a config, before anything is built, and what `corpus_build` raises: nothing is
    trained then.
    """
    configs = {family: config_of(CONFIGS, family, size) for family in families}
    corpus_build(config=config, out=out, workers=workers, limit=limit, overrides=corpus_overrides)
    equal = [] if budget is None else ["train.steps=0", f"train.bytes={budget}"]
    rows: list[dict[str, Any]] = []
    for family, base in configs.items():
        run = Path(models) / family
        state = train(f"train {family}", base, [*equal, *placed(out, str(run)), *(pretrain_overrides or ())])
        if not state.is_completed():
            return state
        rows.append(figures(family, json.loads((run / REPORT).read_text(encoding="utf-8"))))
    name = corpus_config.load(config, tuple(corpus_overrides or ())).corpus.name
    create_table_artifact(
        rows,
        key=key(name),
        description=f"{name}: validation loss of each family beside the unigram entropy of its own targets, in nats per target. "
        "Families predict different targets, so that losses are compared with the entropy beside them, not with each other.",
    )
    return rows


def key(corpus: str) -> str:
    """The name under which Prefect keeps all tables of a corpus: lower case letters, digits and dashes."""
    return "losses-" + re.sub(r"[^a-z0-9-]+", "-", corpus.lower())


def figures(family: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """A family's row of the table, from its report.json; `below` is how far the loss is under the unigram entropy."""
    loss, entropy = report["last_validation_loss"], report["unigram_entropy"]
    return {
        "family": family,
        "steps": report["steps"],
        "bytes": report["bytes"],
        "validation loss at first": round(report["first_validation_loss"], 4),
        "validation loss": round(loss, 4),
        "unigram entropy": round(entropy, 4),
        "below": round(entropy - loss, 4),
    }
