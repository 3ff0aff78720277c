import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch.nn import functional

from pipelines.contract.tokenizers.loading import Tokenizer
from training.generation.answers import Request, generate_texts, steps_of
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.texts import speller
from training.models.families import Model
from training.serving.batching import packed
from training.serving.batching.batch import Batch
from training.serving.batching.decoder import READ, Decoder
from training.serving.batching.jobs import Chance, Event, Failed, Job, Piece, PromptRead
from training.serving.batching.packed import Head, PackedLinear, agreeing_sizes, padded_size

MAKES = ("gpt", "rotary", "relative", "bart", "t5", "t5_gated")
WORDS = (
    "the",
    "old",
    "house",
    "near",
    "river",
    "and",
    "people",
    "of",
    "town",
    "told",
    "many",
    "stories",
    "it",
    "every",
    "evening",
)


@dataclass
class Heard:
    """What a job gave out, by answer."""

    texts: dict[int, str] = field(default_factory=dict[int, str])
    tokens: dict[int, int] = field(default_factory=dict[int, int])
    chances: dict[int, list[Chance]] = field(default_factory=dict[int, list[Chance]])
    finishes: dict[int, str] = field(default_factory=dict[int, str])
    prompt: list[Chance] | None = None
    failed: str = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Failed):
            self.failed = event.message
        elif isinstance(event, PromptRead):
            self.prompt = event.chances
        else:
            assert event.answer not in self.finishes, "nothing follows an end"
            self.texts[event.answer] = self.texts.get(event.answer, "") + event.text
            self.tokens[event.answer] = self.tokens.get(event.answer, 0) + event.tokens
            self.chances.setdefault(event.answer, []).extend(event.chances)
            if event.finish:
                self.finishes[event.answer] = event.finish


def batch_of(model: Model, tokenizer: Tokenizer, most_rows: int = 64) -> Batch:
    words = speller(model, tokenizer)
    names = {i: name for name, i in words.masks.items()} if words.family == "t5" else {}
    return Batch(Decoder(copy.deepcopy(model), words.specials.decoder_start, most_rows), tokenizer, words.specials.end, names)


def job_of(model: Model, tokenizer: Tokenizer, text: str, tokens: int, choice: Choice, seeds: Sequence[int]) -> tuple[Job, Heard]:
    heard = Heard()
    return Job(speller(model, tokenizer).row(text), tokens, seeds, heard, choice), heard


def finished(batch: Batch) -> None:
    for _ in range(5000):
        if batch.idle:
            return
        batch.step()
    raise AssertionError("the batch does not end")


def many_jobs(model: Model, tokenizer: Tokenizer, count: int) -> list[tuple[Job, Heard]]:
    """Prompts of 1 to 40 words, greedy and drawn, some with several answers, some with log-probabilities, of many lengths."""
    draw = random.Random(3)
    jobs: list[tuple[Job, Heard]] = []
    for number in range(count):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 40)))
        choice = draw.choice([Choice(), Choice(1.0), Choice(0.7, top_p=0.9), Choice(1.3, top_k=20)])
        seeds = [number + n for n in range(draw.choice([1, 1, 1, 3]) if choice.temperature else 1)]
        job, heard = job_of(model, tokenizer, text, draw.randint(1, 30), choice, seeds)
        job.likeliest = draw.choice([None, 0, 3])
        jobs.append((job, heard))
    return jobs


@pytest.mark.parametrize("name", MAKES)
def test_answers_in_a_changing_batch_have_the_bits_of_each_alone(
    make_model: Callable[..., Model], tokenizer: Tokenizer, name: str
) -> None:
    """Log-probabilities are compared as floats without a tolerance: the scores have the same bits."""
    model = make_model(name, 192)
    batch = batch_of(model, tokenizer, 24)
    together, alone = many_jobs(model, tokenizer, 40), many_jobs(model, tokenizer, 40)
    arrivals, sizes = random.Random(4), set[int]()
    left = [job for job, _ in together]
    while left or not batch.idle:
        for _ in range(arrivals.choice([0, 0, 1, 2, 7])):
            if left:
                batch.waiting.append(left.pop())
        batch.step()
        sizes.add(len(batch.rows))
    assert len(sizes) > 8 and max(sizes) > 16  # the batch did change
    for job, _ in alone:
        batch.waiting.append(job)
        finished(batch)
    assert [heard for _, heard in together] == [heard for _, heard in alone]
    assert len({text for _, heard in alone for text in heard.texts.values()}) > 30
    assert all(len(heard.finishes) == len(job.seeds) for job, heard in together)


def test_a_product_that_depends_on_the_batch_is_seen(
    make_model: Callable[..., Model], tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above compares bits, so it would fail: with a product that depends on the number of rows, sizes disagree."""
    model = make_model("gpt")
    assert set(batch_of(model, tokenizer, 16).decoder.sizes) == {1, 2, 3, 4, 6, 8, 12, 16}

    def uneven(linear: PackedLinear, x: torch.Tensor) -> torch.Tensor:
        y = linear.product(x, linear.weight, linear.bias, "none", [], "")
        return torch.nextafter(y, y + 1) if x.shape[0] in (1, 3) else y

    monkeypatch.setattr(PackedLinear, "forward", uneven)
    batch = batch_of(model, tokenizer, 16)
    assert set(batch.decoder.sizes) == {2, 4, 6, 8, 12, 16}
    job, heard = job_of(model, tokenizer, "the old house", 5, Choice(), [1])
    batch.waiting.append(job)
    finished(batch)  # padded to two rows
    assert heard.tokens == {0: 5} or heard.finishes == {0: "stop"}


@pytest.mark.parametrize("name", MAKES)
def test_answers_are_those_of_generate(make_model: Callable[..., Model], tokenizer: Tokenizer, name: str) -> None:
    """`generate` computes with other products, so the last bits differ, and with them no token here."""
    model = make_model(name)
    words = speller(model, tokenizer)
    prompts = ["the old house", "many stories about it", "every", " ".join(WORDS)]
    limits = Limits(20, ends=(words.specials.end,), vocabulary=tokenizer.size)
    for choice, seed in ((Choice(), 1), (Choice(1.0, top_p=0.9), 5)):
        batch = batch_of(model, tokenizer)
        batch.names = {}
        jobs = [job_of(model, tokenizer, prompt, 20, choice, [seed]) for prompt in prompts]
        batch.waiting.extend(job for job, _ in jobs)
        finished(batch)
        steps = steps_of(model, [words.row(prompt) for prompt in prompts], words.specials.decoder_start)
        for prompt, ids, (_, heard) in zip(prompts, decode(steps, limits, choice, [seed] * 4), jobs, strict=True):
            assert heard.tokens[0] == len(ids)
            if words.family == "gpt":
                assert prompt + heard.texts[0] == words.continued(prompt, ids)
            else:
                assert heard.texts[0] == tokenizer.decode([i for i in ids if i != words.specials.end])


def test_long_prompts_are_read_in_chunks_between_steps(make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    model = make_model("gpt", 4 * READ)
    batch = batch_of(model, tokenizer, 4)
    short, _ = job_of(model, tokenizer, "the old", 60, Choice(), [1])
    batch.waiting.append(short)
    batch.end = -1  # nothing ends early
    batch.step()
    long, heard = Job([5] * (3 * READ), 2, [1], heard := Heard()), heard
    batch.waiting.append(long)
    written: list[int] = []
    while heard.prompt is None:
        batch.step()
        written.append(batch.rows[0].written)
    assert written == [3, 4, 5]  # the short one went on while the long one was read


def test_rows_wait_for_room_and_cancelled_ones_leave(make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    model = make_model("gpt")
    batch = batch_of(model, tokenizer, 4)
    batch.end = -1
    jobs = [job_of(model, tokenizer, "the old", 50, Choice(1.0), [n, n + 1]) for n in range(4)]
    batch.waiting.extend(job for job, _ in jobs)
    batch.step()
    assert len(batch.rows) == 4 and len(batch.waiting) == 2
    jobs[0][0].cancelled = jobs[2][0].cancelled = True  # one that is being written, and one that waits
    batch.step()
    assert [row.job for row in batch.rows] == [jobs[n][0] for n in (1, 1, 3, 3)] and not batch.waiting
    finished(batch)
    assert [len(heard.finishes) for _, heard in jobs] == [0, 2, 0, 2]
    reading, heard = job_of(model, tokenizer, "the old", 5, Choice(), [1])
    batch.waiting.append(reading)
    batch.waiting.append(replace(reading, emit=heard))
    batch.fail("out of memory")
    assert batch.idle and heard.failed == "out of memory"


def test_stop_strings_cut_the_answer_and_end_the_row(make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    model = make_model("gpt")
    batch = batch_of(model, tokenizer)
    job, whole = job_of(model, tokenizer, "the old house", 40, Choice(), [1])
    batch.waiting.append(job)
    finished(batch)
    text = whole.texts[0]
    for begin in range(0, len(text) - 4, 3):
        stop = text[begin : begin + 4]
        job, heard = job_of(model, tokenizer, "the old house", 40, Choice(), [1])
        job.stops = ["\u2603", stop]
        batch.waiting.append(job)
        finished(batch)
        assert heard.texts[0] == text[: text.index(stop)] and heard.finishes == {0: "stop"}
        assert heard.tokens[0] <= whole.tokens[0]


def test_chances_are_the_models_log_probabilities(make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    model = make_model("gpt", 512)
    batch = batch_of(model, tokenizer)
    job, heard = job_of(model, tokenizer, " ".join(WORDS * 3), 4, Choice(1.0), [3])
    job.likeliest, job.score_prompt = 2, True
    batch.waiting.append(job)
    finished(batch)
    assert heard.prompt is not None and heard.prompt[0].logprob is None
    ids = [chance.id for chance in heard.prompt + heard.chances[0]]
    assert ids[: len(job.ids)] == list(job.ids) and len(ids) == len(job.ids) + 4
    with torch.inference_mode():
        logits = model.logits(model.hidden(torch.tensor([ids])))[0, :-1, : tokenizer.size]  # pyright: ignore
    expected = functional.log_softmax(logits.double(), -1)
    found = [chance.logprob for chance in (heard.prompt + heard.chances[0])[1:]]
    torch.testing.assert_close(torch.tensor(found).double(), expected[range(len(ids) - 1), ids[1:]], rtol=0, atol=1e-4)
    best = [token for token, _ in (heard.prompt + heard.chances[0])[5].likeliest]
    assert best == expected[4].topk(2).indices.tolist()


def test_a_prompt_alone_is_scored(make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    model = make_model("rotary")
    batch = batch_of(model, tokenizer)
    job, heard = job_of(model, tokenizer, "the old house", 0, Choice(), [1])
    job.likeliest, job.score_prompt = 0, True
    batch.waiting.append(job)
    finished(batch)
    assert heard.finishes == {0: "length"} and heard.texts == {0: ""} and len(heard.prompt or []) == len(job.ids)


@pytest.mark.parametrize("name", MAKES)
def test_the_head_gives_the_models_logits(make_model: Callable[..., Model], name: str) -> None:
    model = make_model(name)
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(Head(model)(hidden), model.logits(hidden), rtol=0, atol=1e-4)  # pyright: ignore


def test_a_model_that_cannot_be_packed_is_served_as_it_is(
    make_model: Callable[..., Model], tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "can_pack", lambda model: False)
    model = make_model("gpt")
    batch = batch_of(model, tokenizer, 16)
    assert 16 in batch.decoder.sizes and not any(isinstance(m, PackedLinear) for m in batch.decoder.model.modules())
    job, heard = job_of(model, tokenizer, "the old house", 20, Choice(), [1])
    batch.waiting.append(job)
    finished(batch)
    assert "the old house" + heard.texts[0] == generate_texts(model, tokenizer, ["the old house"], Request(20))[0][0].text


def test_sizes_that_disagree_with_the_largest_are_left_out() -> None:
    def scores_of(rows: int, size: int) -> torch.Tensor:
        return torch.arange(rows)[:, None] + (0.5 if size in (1, 6) else 0.0)

    assert agreeing_sizes(scores_of, 10) == (2, 3, 4, 8, 10)
    assert [padded_size(rows, (2, 4, 10)) for rows in (1, 2, 3, 5, 10)] == [2, 2, 4, 10, 10]
    assert isinstance(Piece(0, "", 0, [], None), tuple)
