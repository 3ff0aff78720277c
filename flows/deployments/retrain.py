"""The Prefect flow `retrain`: train the current model further on new documents; promote the result if it is not worse.

    build      an incremental build: documents that earlier builds published are left out; the model's own tokenizer
    join       the tokens that the model was trained on and the new ones, as one dataset
    train      a new run that starts from the current model's newest checkpoint; `new_share` mixes old and new
    judge      candidate and current model on the same held-out rows, old and new; what the candidate has forgotten of the old
    promote    only if the candidate is not worse; flows/deployments/promotion.py shows the files

Only one retraining of a folder runs at a time; a second one fails at once. An interrupted or failed one resumes at its stage.

The candidate is a new run with `train.init_from`, not the old run resumed: a run is bound to its data, and its learning rate
has decayed. The new run warms up and decays again and replays a share of the old data (Ibrahim et al., arXiv 2403.08763: both
are needed; 5 % of old data for texts of the same kind, 25 to 50 % for others).
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.deployments import promotion
from flows.deployments.corpus_build import corpus_build
from flows.deployments.pretrain import placed, train
from flows.deployments.process import process
from flows.deployments.promotion import Retrain, RetrainError, Verdict
from flows.lock import locked
from flows.program import corpusmill
from pipelines import config as corpora_config
from pipelines.contract import files, manifest, shards
from pipelines.contract.errors import UserError
from pipelines.contract.settings import read
from pipelines.contract.tokenizers import loading
from pipelines.datasets import joined_tokens

TRAIN = "train"
NOT_PROMOTED = "Not promoted"  # the state's name if the flow run succeeded and the current model stays
# Most of a snapshot, or all of a source, may have been published before: no alarm. `corpus_overrides` may set limits.
MOSTLY_OLD = (
    "deduplicate.removed_share_limit=1",
    "expectations.min_documents_per_source=0",
    "expectations.min_tokens_per_source=0",
    "expectations.dropped_share_limit=1",
)


@flow(name="retrain", flow_run_name="{out}", validate_parameters=True)
def retrain(
    corpus_config: str = "configs/corpus/demo.toml",
    pretrain_config: str = "configs/pretrain/gpt_demo.toml",
    start: str = "build/demo-gpt",
    out: str = "build/retrain",
    when: str | None = None,
    new_share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    tolerance: Annotated[float, Field(ge=0)] = 0.0,
    source_tolerance: Annotated[float, Field(ge=0)] | None = None,
    forgetting_limit: Annotated[float, Field(ge=0)] | None = 0.1,
    held_out_rows: Annotated[int, Field(gt=0)] = 4096,
    corpora: list[str] | None = None,
    workers: int | None = None,
    corpus_overrides: list[str] | None = None,
    pretrain_overrides: list[str] | None = None,
) -> "State[Any]":
    """Retrain the current model on new documents; the message of the state says whether the candidate was promoted, and why.

    Args:
        corpus_config: The sources as they are now: a config whose folders hold a new snapshot, or one that names other folders.
        pretrain_config: The family and size of the model, and the steps and learning rate for the new data.
        start: The run that is the current model until a retraining in `out` is promoted.
        out: The folder of all retrainings of this model.
        when: Name of this retraining, e.g. 2026-12; by default the scheduled time of the flow run, or the name of the newest
            retraining if that is unfinished.
        new_share: Share of the training rows that come from new documents; the others come from what the model has seen.
        tolerance: Loss (nats per target) by which the candidate may exceed the current model and still be promoted.
        source_tolerance: The same for each source, old or new; by default only the loss over all of them counts.
        forgetting_limit: Loss by which the candidate may exceed the current model on any source that one was trained on: more is
            forgotten. None only reports it.
        held_out_rows: Rows of both validation splits on which the models are judged; all rows if there are fewer.
        corpora: Output folders of the builds that `start` was trained on; by default the one that its data.tokens names.
        workers: Processes of the build; by default one per core.
        corpus_overrides: Values to change in the config of the corpus, as `section.key=value`.
        pretrain_overrides: Values to change in the config of the training.

    Raises LockedError if another retraining of the folder is running, RetrainError, and the errors of `corpus_build`.
    """
    folder = files.on_this_machine(out, "a retraining").resolve()
    files.on_this_machine(start, "the model")
    with locked(str(folder)):
        scheduled = flow_run.scheduled_start_time
        this = promotion.begin(folder, start, corpora, when, f"{scheduled:%Y-%m-%dT%H%M%S}")
        get_run_logger().info("%s, from %s", this.folder, this.base)
        if (verdict := this.verdict()) is not None:
            this.finish(verdict)
            return _state(verdict)
        if not this.is_built():
            try:
                _build(this, corpus_config, workers, corpus_overrides or [])
            except UserError:  # a vocabulary or a gate refuses a corpus without documents
                if not this.has_nothing_new():
                    raise
                return _unchanged(this, "there is no new document")
        state = _candidate(this, pretrain_config, new_share, pretrain_overrides or [])
        return state or _judged(this, tolerance, source_tolerance, forgetting_limit, held_out_rows)


def _build(this: Retrain, config: str, workers: int | None, overrides: list[str]) -> None:
    """Run the flow `corpus-build` over the documents that no earlier build published, with the model's tokenizer."""
    tokens = promotion.tokens_folder(this.base)
    tokenizer = f"{tokens}/{loading.load(tokens, manifest.read(tokens)).file_name}"
    number = vocabulary_number(config, overrides, _vocabulary(tokens))
    fixed = [f"deduplicate.against={json.dumps(this.corpora)}", f"vocabularies.{number}.path={json.dumps(tokenizer)}"]
    corpus_build(config=config, out=str(this.build), workers=workers, overrides=[*MOSTLY_OLD, *overrides, *fixed])


def _candidate(this: Retrain, config: str, new_share: float, overrides: list[str]) -> "State[Any] | None":
    """Join old and new tokens and train on them; return a state if the flow ends here (nothing new, or the training failed)."""
    earlier = promotion.tokens_folder(this.base)
    old, new = _tokens(earlier), _tokens(_new(this, earlier))
    least = int(read(config, tuple(overrides))["rows"]["length"])  # tokens of a source with a single row
    if not _long_enough(new, least):
        return _unchanged(this, f"there is no new text: {sum(new.values()):,} tokens, and no source has {least:,}")
    joined = _join(this, earlier)
    named = {joined_tokens.labelled(source, this.when): tokens for source, tokens in new.items()}
    weights = mixture(_long_enough(old, least), _long_enough(named, least), new_share)
    changed = [
        *placed(joined, str(this.run)),
        f"train.init_from={json.dumps(str(this.base))}",
        f"data.mixture={as_toml(weights)}",
    ]
    state = train("train the candidate", config, [*overrides, *changed])
    return None if state.is_completed() else state


def _judged(
    this: Retrain, tolerance: float, source_tolerance: float | None, forgetting_limit: float | None, rows: int
) -> "State[Any]":
    """Measure both models, and promote the better one."""
    names = [str(this.run), str(this.base), "--rows", str(rows), "--out", str(this.losses)]
    state = process("judge both", corpusmill("judge", *names))
    if not state.is_completed():
        return state
    losses = json.loads(this.losses.read_text(encoding="utf-8"))
    new_tokens = sum(_tokens(_new(this, promotion.tokens_folder(this.base))).values())
    verdict = promotion.compare(this.when, this.start.base, losses, tolerance, new_tokens, source_tolerance, forgetting_limit)
    return _promoted(this, verdict, losses["sources"])


def _unchanged(this: Retrain, reason: str) -> "State[Any]":
    """Keep the current model: nothing was trained."""
    return _promoted(this, Verdict(when=this.when, promoted=False, reason=reason, base=this.start.base), {})


def _promoted(this: Retrain, verdict: Verdict, sources: Mapping[str, list[float | None]]) -> "State[Any]":
    """Write the verdict and carry it out; return the state of the flow."""
    _promote(this, verdict, sources)
    return _state(verdict)


@task(name="join", task_run_name="join", cache_policy=NO_CACHE)
def _join(this: Retrain, earlier: str) -> str:
    """Join old and new tokens; return the folder of the joined dataset."""
    return joined_tokens.join(str(this.folder), earlier, _new(this, earlier), this.when)


@task(name="promote", task_run_name="promote", cache_policy=NO_CACHE)
def _promote(this: Retrain, verdict: Verdict, sources: Mapping[str, list[float | None]]) -> None:
    """Write the verdict and carry it out."""
    create_markdown_artifact(as_markdown(verdict, sources), key="retrain", description=f"{this.folder}: {verdict.reason}")
    this.decide(verdict)


def mixture(earlier: Mapping[str, int], new: Mapping[str, int], new_share: float) -> dict[str, float]:
    """Return the weight of each source: new ones share `new_share`, earlier ones the rest, in proportion to their tokens.

    >>> mixture({"wiki": 300, "books": 100}, {"wiki@2": 50}, 0.2)
    {'wiki': 0.6, 'books': 0.2, 'wiki@2': 0.2}
    """
    return {
        source: share * tokens / sum(group.values())
        for group, share in ((earlier, 1 - new_share), (new, new_share))
        for source, tokens in group.items()
    }


def vocabulary_number(config: str, overrides: list[str], name: str) -> int:
    """Return the index of a vocabulary in the config of a corpus. Raises RetrainError if there is none of this name."""
    names = [section.name for section in corpora_config.load(config, tuple(overrides)).vocabularies]
    if name not in names:
        raise RetrainError(f"{config}: vocabularies: the model needs {name!r}, and the config has {names}; add or rename one")
    return names.index(name)


def as_toml(weights: Mapping[str, float]) -> str:
    """Return the numbers as a TOML inline table."""
    return "{" + ", ".join(f"{json.dumps(name)} = {weight!r}" for name, weight in weights.items()) + "}"


def as_markdown(verdict: Verdict, sources: Mapping[str, list[float | None]]) -> str:
    """Return the verdict as markdown for Prefect's pages."""
    lines = [f"# {verdict.when}: {'promoted' if verdict.promoted else 'not promoted'}", "", verdict.reason, ""]
    if sources:
        lines += [
            f"{verdict.new_tokens:,} new tokens; earlier model: `{verdict.base}`",
            "",
            "| held-out rows | candidate | earlier |",
        ]
        rows = [*sources.items(), ("all", [verdict.candidate_loss, verdict.current_loss])]
        shown = [[name, *("not finite" if loss is None else f"{loss:.4f}" for loss in losses)] for name, losses in rows]
        lines += ["|---|---:|---:|", *(f"| {' | '.join(cells)} |" for cells in shown)]
    if verdict.forgetting:
        lost = [(name, "not finite" if loss is None else f"{loss:+.4f}") for name, loss in verdict.forgetting.items()]
        lines += ["", "| forgetting | nats per target |", "|---|---:|", *(f"| {name} | {loss} |" for name, loss in lost)]
    return "\n".join(lines) + "\n"


def _state(verdict: Verdict) -> "State[Any]":
    name = "Completed" if verdict.promoted else NOT_PROMOTED
    return Completed(name=name, message=verdict.reason, data=verdict.model_dump(mode="json"))


def _new(this: Retrain, earlier: str) -> str:
    """Return the folder of the new tokens, which have the vocabulary of the earlier ones."""
    return shards.find(str(this.build), _vocabulary(earlier))


def _vocabulary(tokens: str) -> str:
    """Return the name of the vocabulary of a tokens dataset."""
    return manifest.read(tokens).dataset.split("/", 1)[1]


def _long_enough(tokens: Mapping[str, int], least: int) -> dict[str, int]:
    """Return the sources with at least this many tokens."""
    return {source: number for source, number in tokens.items() if number >= least}


def _tokens(folder: str) -> dict[str, int]:
    """Return the tokens of the train split by source."""
    sources = manifest.read(folder).facts["tokens"].get(TRAIN, {})
    return {source: sum(int(counts["tokens"]) for counts in languages.values()) for source, languages in sources.items()}
