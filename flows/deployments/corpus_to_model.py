"""The Prefect flow `corpus-to-model`: a build with its gates, then a training per family, then a table of their losses.

A gate that fails ends the flow before anything is trained. Every training is a separate process; the first one that fails ends
the flow, and another flow run with the same parameters resumes there.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State

from flows.deployments.corpus_build import corpus_build
from flows.deployments.pretrain import CONFIGS, DEMO, REPORT, Family, config_of, placed, train
from pipelines import config as corpus_config
from pipelines.contract import files

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
    """Build a corpus and pretrain each family on it; return one row of figures per family, as in the artifact.

    Args:
        config: A TOML file of a corpus; its vocabulary needs the special pieces of all families.
        out: Output folder of the build; finished datasets in it are not built again.
        models: Folder of the runs: <models>/<family>; finished runs are not trained again.
        families: The families to train, in this order.
        size: Size of each family, as in the flow `pretrain`; every family needs a config of this size.
        budget: UTF-8 bytes of text for each family, instead of its config's steps, so that losses compare equal work.
        workers: Processes of the build; by default one per core.
        limit: A sample build: about this many documents of each source.
        corpus_overrides: Values to change in the config of the corpus, as `section.key=value`.
        pretrain_overrides: Values to change in the config of every family.

    Raises ConfigError if a size has no config, before anything is built, and the errors of `corpus_build`, before anything is
    trained.
    """
    configs = {family: config_of(CONFIGS, family, size) for family in families}
    corpus_build(config=config, out=out, workers=workers, limit=limit, overrides=corpus_overrides)
    equal = [] if budget is None else ["train.steps=0", f"train.bytes={budget}"]
    rows: list[dict[str, Any]] = []
    for family, base in configs.items():
        run = files.on_this_machine(models, "the folder of the models") / family
        state = train(f"train {family}", base, [*equal, *placed(out, str(run)), *(pretrain_overrides or ())])
        if not state.is_completed():
            return state
        rows.append(figures(family, json.loads((run / REPORT).read_text(encoding="utf-8"))))
    name = corpus_config.load(config, tuple(corpus_overrides or ())).corpus.name
    create_table_artifact(
        rows,
        key=key(name),
        description=f"{name}: validation loss of each family and the unigram entropy of its targets, in nats per target. "
        "Families predict different targets: compare each loss with its own entropy, not with the other losses.",
    )
    return rows


def key(corpus: str) -> str:
    """Return the key of a corpus' tables in Prefect: lower-case letters, digits and dashes."""
    return "losses-" + re.sub(r"[^a-z0-9-]+", "-", corpus.lower())


def figures(family: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a family's row of the table from its report.json; `below` is unigram entropy minus validation loss."""
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
