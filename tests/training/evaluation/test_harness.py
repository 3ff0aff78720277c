import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from pipelines.contract import manifest
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from training.arguments import add_harness, parse
from training.checkpoints import trained
from training.checkpoints.trained import Trained
from training.evaluation import conditional, harness
from training.evaluation.blimp import sentence_scores
from training.evaluation.harness import Answerer, HarnessError, Wanted, harness_class, wanted, windows
from training.evaluation.likelihood import Question
from training.generation.answers import GREEDY, generate_texts, steps_of
from training.generation.answers import Request as Generate
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.texts import speller
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Shape, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

WITHOUT = "lm-eval is not installed (extra `bench`)"
needs_harness = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason=WITHOUT)
CONTEXTS = ["the old house stood", "the people", "", "the river and the town told many stories about it "]
CONTINUATIONS = [" near the river", " told\n\nstories", "the old house", "every evening"]


class Asked(NamedTuple):
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path]) -> Tokenizer:
    texts = ["the old house stood near the river and the people of the town told many stories about it every evening"]
    folder = make_dataset(
        tmp_path_factory.mktemp("both") / "tokens", {("train", "books", "en"): [texts]}, families=("gpt", "bert", "bart", "t5")
    )
    return loading.load(str(folder), manifest.read(str(folder)))


def trained_of(shape: Callable[..., Shape], pieces: Tokenizer, length: int = 24, family: str = "gpt") -> Trained:
    """A model with a padded vocabulary, whose weights are so large that its predictions differ."""
    model = make(shape(layers=2, heads=2, width=16, vocabulary=pieces.size + 5, length=length, dropout=0.5), 3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    return Trained(model, family, pieces, "a model in memory")


@pytest.fixture(params=[GPTShape, ComposedShape])
def gpt(request: pytest.FixtureRequest, pieces: Tokenizer) -> Trained:
    return trained_of(request.param, pieces)


def end_of(pieces: Tokenizer) -> int:
    return pieces.special_ids["<|endoftext|>"]


@torch.inference_mode()
def by_hand(found: Trained, tokens: Sequence[int], first: int) -> tuple[float, bool]:
    """tokens[first:], one at a time."""
    model: Any = found.model.eval()
    total, greedy = 0.0, True
    for at in range(first, len(tokens)):
        scores = model(torch.tensor([list(tokens[:at])]))[0, -1, : found.tokenizer.size].double()
        total += float(scores.log_softmax(-1)[tokens[at]])
        greedy &= int(scores.argmax()) == tokens[at]
    return total, greedy


def test_loglikelihoods_are_those_of_the_pieces_behind_the_context(gpt: Trained, pieces: Tokenizer) -> None:
    asked = [Asked((context, more)) for context in CONTEXTS for more in CONTINUATIONS]
    longest = max(len(pieces.encode(context + more)) for context in CONTEXTS for more in CONTINUATIONS)
    found = Answerer(trained_of(type(gpt.model.shape), pieces, longest))
    for (total, greedy), request in zip(found.loglikelihood(asked), asked, strict=True):
        context, more = request.args
        bare = context.rstrip(" ")
        before, whole = pieces.encode(bare), pieces.encode(context + more)
        if whole[: len(before)] == before:
            assert pieces.decode(whole[len(before) :]).strip() == more.strip()
            wanted_total, wanted_greedy = by_hand(found.trained, [end_of(pieces), *whole], len(before) + 1)
            assert total == pytest.approx(wanted_total, abs=1e-4) and greedy == wanted_greedy


def test_a_piece_on_the_border_counts_whole(pieces: Tokenizer) -> None:
    found = Answerer(trained_of(GPTShape, pieces))
    whole = pieces.encode("the river")
    assert pieces.encode("the riv") != whole[: len(pieces.encode("the riv"))]
    shared = next(n for n, (one, other) in enumerate(zip(pieces.encode("the riv"), whole, strict=False)) if one != other)
    total, _ = found.loglikelihood([Asked(("the riv", "er"))])[0]
    assert total == pytest.approx(by_hand(found.trained, [end_of(pieces), *whole], shared + 1)[0], abs=1e-4)


def test_a_sentence_alone_has_the_score_of_blimp(gpt: Trained) -> None:
    texts = ["the people told stories", "stories the people told", "the old house"]
    found = Answerer(gpt).loglikelihood([Asked(("", text)) for text in texts])
    assert [total for total, _ in found] == pytest.approx(sentence_scores(gpt, texts), abs=1e-5)
    assert Answerer(gpt).loglikelihood_rolling([Asked((text,)) for text in texts]) == pytest.approx(
        sentence_scores(gpt, texts), abs=1e-5
    )


def test_what_the_model_would_say_is_greedy(gpt: Trained) -> None:
    found = Answerer(gpt)
    for n in range(2, 9):
        said = found.generate_until([Asked(("the old", {"max_gen_toks": n}))])[0]
        ids = gpt.tokenizer.encode("the old" + said)
        if gpt.tokenizer.decode(ids) == "the old" + said and len(ids) == len(gpt.tokenizer.encode("the old")) + n:
            _, greedy = by_hand(gpt, [end_of(gpt.tokenizer), *ids], len(ids) - n + 1)
            assert found.loglikelihood([Asked(("the old", said))])[0][1] == greedy


def test_windows_are_those_of_the_harness() -> None:
    shown = list(windows(["e", *range(9)], 1, 4))  # type: ignore[list-item]
    assert shown == [
        Question(["e", 0, 1, 2], 0, [0, 1, 2, 3]),  # type: ignore[list-item]
        Question([3, 4, 5, 6], 0, [4, 5, 6, 7]),
        Question([4, 5, 6, 7], 3, [8]),
    ]
    assert list(windows([7, 8, 9], 2, 4)) == [Question([7, 8], 1, [9])]
    assert list(windows([6, 7, 8, 9], 3, 2)) == [Question([7, 8], 1, [9])]  # what stands before falls out of sight
    assert list(windows([7], 1, 4)) == []
    for length in range(1, 12):
        asked = [target for of in windows(list(range(length)), 1, 3) for target in of.targets]
        assert asked == list(range(1, length))


def test_long_texts_are_read_in_windows(gpt: Trained) -> None:
    pieces, positions = gpt.tokenizer, gpt.model.shape.length
    text = "the people of the town told many stories about it " * 6
    tokens = [end_of(pieces), *pieces.encode(text)]
    assert len(tokens) > 2 * positions
    total = 0.0
    for begin in range(0, len(tokens) - 1, positions):
        end = min(begin + positions, len(tokens) - 1)
        first = max(0, end - positions)
        total += by_hand(gpt, tokens[first : end + 1], begin - first + 1)[0]
    assert Answerer(gpt).loglikelihood_rolling([Asked((text,))]) == [pytest.approx(total, abs=1e-3)]
    short, _ = Answerer(gpt).loglikelihood([Asked((text.strip(), " every evening"))])[0]
    whole = [end_of(pieces), *pieces.encode(text.strip() + " every evening")]
    count = len(whole) - len(pieces.encode(text.strip())) - 1
    assert short == pytest.approx(by_hand(gpt, whole[-positions - 1 :], positions + 1 - count)[0], abs=1e-4)


def test_nothing_asked_for_costs_nothing(gpt: Trained) -> None:
    found = Answerer(gpt)
    assert found.loglikelihood([Asked(("the old house", ""))]) == [(0.0, True)]
    assert found.loglikelihood_rolling([Asked(("",))]) == [0.0]
    assert (found.loglikelihood([]), found.loglikelihood_rolling([]), found.generate_until([])) == ([], [], [])


def test_answers_are_in_the_order_of_the_questions_and_as_alone(gpt: Trained) -> None:
    found = Answerer(gpt)
    asked = [Asked((context, more)) for context in CONTEXTS for more in CONTINUATIONS]
    alone = [found.loglikelihood([request])[0][0] for request in asked]
    assert [total for total, _ in found.loglikelihood(asked)] == pytest.approx(alone, abs=1e-4)
    wishes = [Asked((context, {"max_gen_toks": n, "until": ["e"]})) for n, context in enumerate(CONTEXTS * 5, 3)]
    assert found.generate_until(wishes) == [found.generate_until([wish])[0] for wish in wishes]


def test_an_answer_ends_before_the_first_stop_string(gpt: Trained) -> None:
    found = Answerer(gpt)
    prompt = "the old"
    free = found.generate_until([Asked((prompt, {"max_gen_toks": 40}))])[0]
    texts = generate_texts(gpt.model, gpt.tokenizer, [f"<|endoftext|>{prompt}"], Generate(40))
    assert f"<|endoftext|>{prompt}{free}" == texts[0][0].text
    for stop in {free[5:7], free[12:15], free[1], free[-3:]}:
        assert found.generate_until([Asked((prompt, {"max_gen_toks": 40, "until": ["never there", stop]}))]) == [
            free[: free.index(stop)]
        ]
    assert found.generate_until([Asked((prompt, {"max_gen_toks": 40, "until": free[3]}))]) == [free[: free.index(free[3])]]


def test_a_stop_string_ends_the_computation(pieces: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    gpt = trained_of(GPTShape, pieces)
    found = Answerer(gpt)
    free = found.generate_until([Asked(("the old", {"max_gen_toks": 40}))])[0]
    counted: list[int] = []
    logits = gpt.model.logits
    monkeypatch.setattr(gpt.model, "logits", lambda hidden: counted.append(1) or logits(hidden))  # type: ignore[func-returns-value]
    found.generate_until([Asked(("the old", {"max_gen_toks": 40, "until": free[4:6]}))])
    assert len(counted) < 15


def test_an_answer_has_the_space_it_begins_with(pieces: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Answerer(trained_of(GPTShape, pieces))
    behind = pieces.encode("the old house")[len(pieces.encode("the old")) :]
    monkeypatch.setattr(harness, "decode", lambda *_, **__: [[*behind, found.end]])
    assert found.generate_until([Asked(("the old", {}))]) == [" house"]
    assert found.generate_until([Asked(("", {}))]) == ["house"]


def test_who_says_that_an_answer_is_done_is_told_whose_it_is(gpt: Trained) -> None:
    prompts = [[0, 5], [0, 6, 7], [0, 8]]
    model: Any = gpt.model.eval()
    free = decode(steps_of(model, prompts), Limits(7), GREEDY)
    asked: list[int] = []

    def done(row: int, answer: Sequence[int]) -> bool:
        assert list(answer) == free[row][: len(answer)]
        asked.append(row)
        return len(answer) == (2, 5, 9)[row]

    assert decode(steps_of(model, prompts), Limits(7), GREEDY, done=done) == [free[0][:2], free[1][:5], free[2]]
    assert [asked.count(row) for row in range(3)] == [2, 5, 7]


def test_a_context_of_any_length_is_continued(gpt: Trained) -> None:
    long = "the people of the town told many stories " * 9
    found = Answerer(gpt)
    few, many = (found.generate_until([Asked((long, {"max_gen_toks": n}))])[0] for n in (6, 60))
    assert few and len(many) > len(few)


def test_drawn_answers_differ_from_each_other_and_repeat(gpt: Trained) -> None:
    found = Answerer(gpt)
    asked = [Asked(("the old", {"do_sample": True, "max_gen_toks": 12}))] * 3
    said = found.generate_until(asked)
    assert len(set(said)) > 1 and found.generate_until(asked) == said


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({}, Wanted()),
        ({"until": "\n", "max_new_tokens": 5}, Wanted(5, ("\n",))),
        ({"until": ["a", "", "b"], "max_tokens": 9, "max_gen_toks": 7}, Wanted(7, ("a", "b"))),
        ({"do_sample": False, "temperature": 0.9, "top_p": 0.5, "until": None}, Wanted()),
        ({"do_sample": True}, Wanted(choice=Choice(1.0))),
        ({"temperature": 0.5, "top_k": 0, "top_p": 0.9}, Wanted(choice=Choice(0.5, None, 0.9))),
    ],
)
def test_settings_of_a_task(settings: dict[str, Any], how: Wanted) -> None:
    assert wanted(settings) == how


def test_settings_that_cannot_be_followed_are_named(pieces: Tokenizer) -> None:
    with pytest.raises(HarnessError, match="generation_kwargs: num_beams is not supported, but do_sample"):
        wanted({"num_beams": 4})
    with pytest.raises(HarnessError, match="generation_kwargs: tokens: must be 1 or more"):
        wanted({"max_gen_toks": 0})
    with pytest.raises(HarnessError, match="generation_kwargs: top_p: must be"):
        wanted({"temperature": 1, "top_p": 2.0})
    bert = trained_of(BERTShape, pieces, family="bert")
    with pytest.raises(HarnessError, match="a model in memory: is a bert; generate_until needs a causal model"):
        Answerer(bert).generate_until([Asked(("the old", {}))])
    with pytest.raises(HarnessError, match="is a bert; only a BART or T5 is asked text to text"):
        Answerer(bert, text_to_text=True)


def other(family: str, pieces: Tokenizer) -> Trained:
    """A model that is not causal, with 24 positions where it has any."""
    shape: Any = {
        "bert": BERTShape,
        "bart": lambda layers, **more: BARTShape(encoder_layers=layers, decoder_layers=layers, **more),
        "t5": lambda layers, length, **more: T5Shape(layers, layers, head_width=8, inner=32, **more),
    }[family]
    return trained_of(shape, pieces, family=family)


@torch.inference_mode()
@pytest.mark.parametrize("family", ["bert", "bart", "t5", "bart-answers", "t5-answers"])
def test_other_families_score_a_continuation_as_they_were_trained(family: str, pieces: Tokenizer) -> None:
    family, _, answers = family.partition("-")
    found = other(family, pieces)
    words, model = speller(found.model, pieces), found.model.eval()
    s: Any = words.specials
    context, more = pieces.encode("the old house"), pieces.encode("the old house near")[len(pieces.encode("the old house")) :]
    begin = [] if s.begin is None else [s.begin]
    total, greedy = 0.0, True
    for n, piece in enumerate(more):
        if family == "bert":
            row = [*begin, *context, *more[:n], s.mask, *more[n + 1 :], s.end]
            logits = model(torch.tensor([row]))[0][0, len(begin) + len(context) + n]
        else:
            gap = [] if answers else [s.sentinels[0] if family == "t5" else s.mask]
            start = [*begin] if answers else gap if family == "t5" else [*begin, *context]
            row = [*begin, *context, *gap, s.end]
            logits = model(torch.tensor([row]), torch.tensor([[s.decoder_start, *start, *more[:n]]]))[0, -1]
        scores = logits[: pieces.size].double().log_softmax(-1)
        total, greedy = total + float(scores[piece]), greedy and int(scores.argmax()) == piece
    answered = Answerer(found, text_to_text=bool(answers)).loglikelihood([Asked(("the old house", " near"))])[0]
    assert answered == (pytest.approx(total, abs=1e-4), greedy)


@pytest.mark.parametrize("family", ["bert", "bart", "t5"])
def test_long_texts_of_other_families_are_asked_in_windows(family: str, pieces: Tokenizer) -> None:
    words = speller(other(family, pieces).model, pieces)
    for count in (1, 20, 21, 22, 60):
        for first in {0, count // 3, count - 1}:
            ids = list(range(40, 40 + count))
            found = list(conditional.questions(words, ids, first, 24))
            assert [target for one in found for target in one.targets] == ids[first:]
            assert all(one.tokens <= 24 for one in found)
            assert family == "t5" or max(one.tokens for one in found) >= min(count, 21)
    answerer = Answerer(other(family, pieces))
    text = "the people of the town told many stories about it " * 4
    total = answerer.loglikelihood_rolling([Asked((text,))])[0]
    assert total == pytest.approx(answerer.loglikelihood([Asked(("", text))])[0][0], abs=1e-3) and total < 0


def test_without_the_harness_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    harness_class.cache_clear()
    with pytest.raises(HarnessError, match="install corpusmill with its extra `bench`"):
        harness.run(parse(add_harness, ["nowhere", "--tasks", "piqa"]))


CHOICE = """\
task: ours_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{begin}}}}"
doc_to_choice: "{{{{[one, other]}}}}"
doc_to_target: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
ROLLING = """\
task: ours_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""
UNTIL = """\
task: ours_until
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{begin}}}}"
doc_to_target: "{{{{said}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def tasks(tmp_path: Path, pieces: Tokenizer) -> tuple[Path, list[dict[str, str]], Trained]:
    """A folder of three tasks over a local file, what is in that, and a model that it was written for."""
    gpt = trained_of(GPTShape, pieces)
    begins = ["the old house", "the people of the town", "many stories"]
    said = Answerer(gpt).generate_until([Asked((begin, {"until": ["\n"], "max_gen_toks": 6})) for begin in begins])
    choices = ["stood near", "told"]
    docs = [
        {
            "begin": begin,
            "one": choices[n % 2],
            "other": choices[1 - n % 2],
            "text": f"{begin} every evening. " * n,
            "said": answer,
        }
        for n, (begin, answer) in enumerate(zip(begins, [*said[:2], "something else"], strict=True), 1)
    ]
    data = tmp_path / "docs.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, text in (("choice", CHOICE), ("rolling", ROLLING), ("until", UNTIL)):
        (folder / f"{name}.yaml").write_text(text.format(data=data))
    return folder, docs, gpt


@needs_harness
@pytest.mark.filterwarnings("ignore")
def test_the_harness_runs_local_tasks(
    tasks: tuple[Path, list[dict[str, str]], Trained], pieces: Tokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder, docs, gpt = tasks
    model: Any = harness_class()
    results = harness.evaluate(model(gpt), [str(folder)])["results"]
    direct = Answerer(gpt)
    likelier = [
        direct.loglikelihood([Asked((doc["begin"], " " + doc["one"]))])
        > direct.loglikelihood([Asked((doc["begin"], " " + doc["other"]))])
        for doc in docs
    ]
    assert results["ours_choice"]["acc,none"] == sum(likelier) / len(docs)
    assert 0 < sum(likelier) < len(docs)
    for family in ("bert", "bart", "t5"):
        results_of = harness.evaluate(model(other(family, pieces)), [str(folder / "choice.yaml"), str(folder / "rolling.yaml")])
        assert set(results_of["results"]) == {"ours_choice", "ours_rolling"}
        assert results_of["config"]["family"] == family
    nats = sum(direct.loglikelihood_rolling([Asked((doc["text"],)) for doc in docs]))
    size = sum(len(doc["text"].encode()) for doc in docs)
    assert results["ours_rolling"]["bits_per_byte,none"] == pytest.approx(-nats / math.log(2) / size)
    assert results["ours_until"]["exact_match,none"] == pytest.approx(2 / 3)


@needs_harness
@pytest.mark.filterwarnings("ignore")
def test_the_command_writes_the_results_of_a_run(
    tasks: tuple[Path, list[dict[str, str]], Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import lm_eval

    folder, docs, gpt = tasks
    trained.save(tmp_path / "run", gpt.model, gpt.family, gpt.tokenizer, {})
    out = tmp_path / "results.json"
    command = [str(tmp_path / "run"), "--include-path", str(folder), "--device", "cpu", "--threads", "1", "--out", str(out)]
    harness.run(parse(add_harness, [*command, "--tasks", "ours_choice,ours_rolling"]))
    assert "|ours_choice" in capsys.readouterr().out
    kept = json.loads(out.read_text())
    assert set(kept["results"]) == {"ours_choice", "ours_rolling"}
    assert kept["config"]["family"] == "gpt" and kept["n-samples"]["ours_choice"]["effective"] == len(docs)
    arguments = {"run": str(tmp_path / "run"), "threads": 1}
    manager = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False)
    named = lm_eval.simple_evaluate(
        model="corpusmill", model_args=arguments, tasks=["ours_choice"], device="cpu", batch_size=4, task_manager=manager
    )
    assert named is not None and named["results"]["ours_choice"] == kept["results"]["ours_choice"]
    with pytest.raises(HarnessError, match="no_such_task: is neither a task"):
        harness.run(parse(add_harness, [*command, "--tasks", "no_such_task"]))
    with pytest.raises(HarnessError, match="is not a folder; --include-path"):
        harness.run(parse(add_harness, [*command, "--tasks", "ours_choice", "--include-path", str(tmp_path / "nowhere")]))
