r"""The field's history in one table: `corpusmill ancestors build/demo --out build/ancestors --runs build/models/{bert,gpt}`.

Every model is trained on the same text, the train split of a tokens dataset, and measured alike:

- bits per byte: the code length of the validation split, every piece and every end of a document predicted from the left;
  comparable across vocabularies. Perplexity is that of a piece. GPT and ELMo see up to 128 pieces of the same row, n-grams of
  the same document. BERT and word vectors define no probability of a text.
- similarity and analogies: training/ancestors/word_sets.py, with the words that occur at least five times in the training text.
  A word of a contextual model is the mean of its states over that text (training/ancestors/states.py), over all layers, each
  dimension of a layer scaled to mean 0 and deviation 1: without that a few dimensions decide every cosine (Timkey and van
  Schijndel 2021, arXiv 2109.04404). Word vectors are taken as they are.
- SST-2: accuracy of the same logistic regression over frozen features (training/ancestors/probe.py).

`random` has vectors that mean nothing: what a score is without learning. A run of ours is read from its newest checkpoint; it
should have been trained on as many bytes (train.bytes). Each finished row is written to OUT/rows; the same command goes on after
a stop. A text is read once by n-grams, ELMo and (by its config) our own run; word vectors pass over it more often, as is usual
for them: `passes` says so.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.contract import files
from training.ancestors import glove, language_model, ngrams, states, vectors, word_sets
from training.ancestors.elmo import ELMo, ELMoShape
from training.ancestors.probe import PARTS, Sentences, probe, read_sst2, vector_means
from training.ancestors.states import Contextual
from training.ancestors.vectors import WordVectors
from training.ancestors.word_sets import Pair, Question, Score
from training.ancestors.words import AncestorError, Text, Words, read, words_of
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.data.shards import TokenDataset, open_dataset
from training.evaluation import summary
from training.models.families import parameters
from training.run.progress import METRICS, read_metrics

VERSION = 1  # of the rows
DIMENSIONS = 128  # of word vectors, and of each direction of ELMo: the width of our demo models
EPOCHS = 15  # of skip-gram and CBOW
ITERATIONS = 25  # of GloVe
LEAST = 5  # occurrences of a word
ALL_ROWS = 10**9
ORDERS = (1, 3, 4, 5)
ROWS = "rows"  # in the output folder
TABLE = "ancestors.json"

PAPERS: Mapping[str, str] = {
    "random": "-",
    **{f"{order}-gram": "Chen and Goodman 1998" for order in ORDERS},
    "skipgram": "Mikolov et al. 2013",
    "cbow": "Mikolov et al. 2013",
    "fasttext": "Bojanowski et al. 2017",
    "glove": "Pennington et al. 2014",
    "elmo": "Peters et al. 2018",
    "elmo-characters": "Peters et al. 2018",
    "gpt": "Radford et al. 2019",
    "bert": "Devlin et al. 2019",
}
TRAINED = tuple(name for name in PAPERS if name not in ("gpt", "bert"))
ANCESTORS = tuple(name for name in TRAINED if name != "elmo-characters")  # by default


@dataclass(frozen=True, slots=True)
class Row:
    """A model's figures; None: not defined for it, or not measured."""

    name: str
    parameters: int
    seconds: float  # of training
    passes: float  # over the text
    bits_per_byte: float | None = None
    perplexity: float | None = None  # of a piece
    words: dict[str, Score] = field(default_factory=dict[str, Score])  # by set
    sst2: float | None = None
    mix: list[float] = field(default_factory=list[float])  # weight of each layer for SST-2


class Yardsticks(NamedTuple):
    """What models are measured on; empty where it is not there."""

    pairs: Mapping[str, list[Pair]]
    questions: list[Question]
    sentences: Mapping[str, Sentences]


class Data(NamedTuple):
    """What models are trained on."""

    text: Text
    held_out: Text
    words: Words
    made_from: Mapping[str, Any]
    threads: int


def history(
    data: str,
    out: Path,
    *,
    name: str | None = None,
    runs: Sequence[Path] = (),
    sets: Path | None = None,
    sst2: Path | None = None,
    only: Sequence[str] = ANCESTORS,
    limit: int | None = None,
    threads: int = 1,
    seed: int = 1,
) -> list[Row]:
    """Train the ancestors in `only`, measure them and the runs, and write ancestors.json; finished rows are read.

    Args:
        data: a tokens dataset, or a build with one (else `name` chooses it).
        out: folder of the word vectors, of ELMo's weights and of the rows.
        name: of the tokens dataset in a build.
        runs: folders of GPTs and BERTs of the same tokenizer.
        sets: folder with wordsim353.tsv, simlex999.txt and questions-words.txt.
        sst2: folder with train.tsv, dev.tsv and test.tsv.
        only: names of ancestors.
        limit: bytes of the training text.
        threads: of ELMo and of the runs; the others use one.
        seed: of all weights and orders, but those of fastText.

    Raises UserError (AncestorError, DatasetError, CheckpointError) that names the file and the fix.
    """
    if unknown := set(only) - set(TRAINED):
        raise AncestorError(f"{min(unknown)}: is no ancestor; name some of {', '.join(TRAINED)}")
    for field_name, value in (("threads", threads), ("bytes", 1 if limit is None else limit)):
        if value < 1:
            raise AncestorError(f"{field_name}: must be 1 or more, not {value}")
    torch.set_num_threads(threads)
    dataset = open_dataset(data, name)
    for run in runs:
        _check_run(run, dataset)
    out.mkdir(parents=True, exist_ok=True)
    yardsticks = _yardsticks(sets, sst2)
    text = read(dataset, "train", limit)
    made_from = identity(dataset.fingerprint, limit, seed, threads)
    given = Data(text, read(dataset, "validation"), words_of(text.texts(), LEAST), made_from, threads)
    print(
        f"text     {text.utf8_bytes:,} bytes, {len(text.stream()):,} pieces, {len(given.words.ids):,} words, "
        f"{len(given.words.vocabulary):,} different; held out {given.held_out.utf8_bytes:,} bytes",
        flush=True,
    )
    measured = {"sets": sorted(yardsticks.pairs), "sst2": bool(yardsticks.sentences)}
    rows: list[Row] = []
    for one in only:
        rows.append(_kept(out, one, {**made_from, **measured}, lambda one=one: _ancestor(one, given, yardsticks, out, seed)))
    for run in runs:
        where = trained.find(run)
        facts = {**made_from, **measured, "run": str(where.path.resolve())}
        rows.append(_kept(out, where.fact("model")["family"], facts, lambda run=run: _run_row(run, given, yardsticks)))
    files.write_text(str(out / TABLE), json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return rows


def identity(tokens: str, limit: int | None, seed: int, threads: int) -> dict[str, Any]:
    """Return everything that decides the text and what is trained on it; `tokens` is the fingerprint of the token shards."""
    return {"version": VERSION, "tokens": tokens, "limit": limit, "seed": seed, "threads": threads}


def _check_run(run: Path, dataset: TokenDataset) -> None:
    """Raise AncestorError unless a run can be compared, before anything is trained."""
    model = trained.load(run)
    states.contextual(model)
    if model.tokenizer.sha256 != dataset.tokenizer.sha256:
        raise AncestorError(f"{run}: has another tokenizer than the data; name a run that was trained on the same tokens dataset")


def _yardsticks(sets: Path | None, sst2: Path | None) -> Yardsticks:
    pairs = {} if sets is None else {key: word_sets.read_pairs(sets / file) for key, file in word_sets.PAIRS.items()}
    questions = [] if sets is None else word_sets.read_questions(sets / word_sets.QUESTIONS)
    return Yardsticks(pairs, questions, {} if sst2 is None else read_sst2(sst2))


def _kept(out: Path, name: str, made_from: Mapping[str, Any], make: Callable[[], Row]) -> Row:
    """Return a finished row if it was made from the same, else make and write it."""
    path = out / ROWS / f"{name}.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["made_from"] == made_from:
            fields: dict[str, Any] = kept["row"]
            fields["words"] = {key: Score(*score) for key, score in fields["words"].items()}
            return Row(**fields)
    began = time.monotonic()
    row = make()
    files.write_text(str(path), json.dumps({"made_from": made_from, "row": asdict(row)}, indent=1) + "\n")
    print(f"{name:<16} trained {row.seconds:.0f} s, all {time.monotonic() - began:.0f} s", flush=True)
    return row


def _ancestor(name: str, data: Data, yardsticks: Yardsticks, out: Path, seed: int) -> Row:
    """Train and measure one ancestor."""
    began = time.monotonic()
    if name.endswith("-gram"):
        return _ngram_row(name, data)
    if name.startswith("elmo"):
        shape = ELMoShape(data.text.tokenizer.size, DIMENSIONS, characters=name == "elmo-characters")
        model = language_model.train(data.text, shape, seed=seed)
        seconds = time.monotonic() - began
        torch.save(model.state_dict(), out / f"{name}.pt")
        return _elmo_row(name, model, seconds, data, yardsticks)
    made, passes = _word_vectors(name, data.words, seed)
    seconds = time.monotonic() - began
    made.save(out / f"{name}.vec")
    size = made.matrix.size * (2 if name != "random" else 1)  # of words and of contexts
    return _measured(Row(name, size, seconds, passes), yardsticks, made, lambda texts: vector_means(made, texts))


def _word_vectors(name: str, words: Words, seed: int) -> tuple[WordVectors, int]:
    """Return the vectors of a method and its passes over the text."""
    if name == "random":
        shape = (len(words.vocabulary), DIMENSIONS)
        return WordVectors(words.vocabulary, np.random.default_rng(seed).standard_normal(shape, np.float32)), 0
    if name == "glove":
        return glove.train(words, dimensions=DIMENSIONS, iterations=ITERATIONS, seed=seed), 1
    settings: dict[str, Any] = {"dimensions": DIMENSIONS, "epochs": EPOCHS}
    if name == "fasttext":
        return vectors.word2vec(words, "skipgram", subwords=True, **settings), EPOCHS
    return vectors.word2vec(words, "cbow" if name == "cbow" else "skipgram", **settings), EPOCHS


def _ngram_row(name: str, data: Data) -> Row:
    began = time.monotonic()
    pieces = sum(kind in ("text", "byte") for kind in data.text.tokenizer.piece_kinds()) + 1
    model = ngrams.train(data.text.documents, order=int(name[0]), end=data.text.end, pieces=pieces)
    seconds = time.monotonic() - began
    nats = -model.log_probabilities(data.held_out.documents)
    bits = language_model.bits_per_byte(float(nats.sum()), data.held_out)
    return Row(name, model.parameters, seconds, 1, bits, math.exp(nats.mean()))


def _elmo_row(name: str, model: ELMo, seconds: float, data: Data, yardsticks: Yardsticks) -> Row:
    nats = language_model.nats(model, data.held_out)["forward"]
    bits = language_model.bits_per_byte(nats, data.held_out)
    perplexity = math.exp(nats / (len(data.held_out.stream()) - 1))
    size = sum(weights.numel() for weights in model.parameters())
    encoder = states.contextual_elmo(model, data.text.tokenizer, data.text.end, language_model.LENGTH)
    return _contextual_row(Row(name, size, seconds, 1, bits, perplexity), encoder, data, yardsticks)


def _run_row(run: Path, data: Data, yardsticks: Yardsticks) -> Row:
    """Measure a GPT or BERT of ours."""
    model = trained.load(run)
    encoder = states.contextual(model)
    held_out = summary.evaluate(run, rows=ALL_ROWS, device="cpu", threads=data.threads).validation
    assert held_out is not None, "a run has held-out text"
    lines = [line for line in read_metrics(run / METRICS) if "batch_tokens" in line]
    seconds = sum(line["batch_tokens"] / line["tokens_per_second"] for line in lines)
    seen = sum(line["batch_tokens"] for line in lines) / len(data.text.stream())
    perplexity = None if held_out.bits_per_byte is None else math.exp(held_out.loss)
    row = Row(model.family, parameters(model.model), seconds, seen, held_out.bits_per_byte, perplexity)
    return _contextual_row(row, encoder, data, yardsticks)


def _contextual_row(row: Row, encoder: Contextual, data: Data, yardsticks: Yardsticks) -> Row:
    made = WordVectors(data.words.vocabulary, np.empty((0, 0), np.float32))
    if yardsticks.pairs:
        means = states.word_means(encoder, data.text.texts(), data.words.vocabulary)
        scaled = (means - means.mean(0)) / (means.std(0) + 1e-6)
        made = WordVectors(data.words.vocabulary, scaled.mean(1))
    return _measured(row, yardsticks, made, lambda texts: states.sentence_means(encoder, texts))


def _measured(
    row: Row, yardsticks: Yardsticks, made: WordVectors, features: Callable[[Sequence[str]], NDArray[np.float32]]
) -> Row:
    """Return the row with its scores on words and sentences."""
    scores = {key: word_sets.similarity(made, pairs) for key, pairs in yardsticks.pairs.items()}
    if yardsticks.questions:
        scores["analogies"] = word_sets.analogies(made, yardsticks.questions)
    row = replace(row, words=scores)
    if not yardsticks.sentences:
        return row
    result = probe({part: features(yardsticks.sentences[part].texts) for part in PARTS}, yardsticks.sentences)
    return replace(row, sst2=result.accuracy, mix=result.mix)


def table(rows: Sequence[Row]) -> list[str]:
    """Format a heading and a line for each row."""
    sets = list(next((row.words for row in rows if row.words), {}))
    names = ["model", "paper", "parameters", "time", "passes", "bits/byte", "perplexity", *sets, "SST-2"]
    lines = [names, *([row.name, PAPERS.get(row.name, "-"), *_figures(row, sets)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [str.ljust, str.ljust, *[str.rjust] * (len(names) - 2)]
    return ["  ".join(pad(cell, width) for pad, cell, width in zip(aligned, line, widths, strict=True)) for line in lines]


def _figures(row: Row, sets: Sequence[str]) -> list[str]:
    scores = [f"{row.words[one].value:.3f}" if one in row.words else "" for one in sets]
    return [
        f"{row.parameters:,}",
        f"{row.seconds:.0f} s",
        f"{row.passes:.1f}",
        "" if row.bits_per_byte is None else f"{row.bits_per_byte:.3f}",
        "" if row.perplexity is None else f"{row.perplexity:.1f}",
        *scores,
        "" if row.sst2 is None else f"{row.sst2:.3f}",
    ]


def coverage(rows: Sequence[Row]) -> str:
    """Say how much of each set of words was used; it is the same for all models."""
    scores = next((row.words for row in rows if row.words), {})
    return "; ".join(f"{name}: {score.used:,} of {score.size:,}" for name, score in scores.items())


def run(arguments: argparse.Namespace, sets: Path | None) -> int:
    """Train, measure and print (training.arguments.add_ancestors); return the exit code."""
    rows = history(
        arguments.data,
        files.on_this_machine(arguments.out, "the ancestors"),
        name=arguments.name,
        runs=[here(run) for run in arguments.runs],
        sets=sets,
        sst2=None if arguments.sst2 is None else Path(arguments.sst2),
        only=arguments.only or ANCESTORS,
        limit=arguments.bytes,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    print("\n" + "\n".join(table(rows)))
    if used := coverage(rows):
        print(f"\nwords with a vector: {used}")
    return 0
