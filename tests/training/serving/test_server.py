"""A real server process, asked by the `openai` package and by hand."""

import json
import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from serving import Server, serving
from torch.nn import functional

from pipelines.contract.tokenizers.loading import Tokenizer
from training.generation.answers import Request, generate_texts
from training.generation.choose import Choice
from training.models.families import Model

PROMPT = "the old house"


@pytest.fixture(scope="module")
def server(runs: dict[str, Path]) -> Generator[Server]:
    with serving([*map(str, runs.values()), f"again={runs['gpt']}"], "--max-tokens", "100", "--rows", "16") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["gpt", "bart", "t5", "rotary", "again"]
    assert client.models.retrieve("t5").owned_by == "corpusmill"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5', but gpt, bart"):
        client.models.retrieve("gpt-5")
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5'"):
        client.completions.create(model="gpt-5", prompt="a")


@pytest.mark.parametrize("name", ["gpt", "bart", "t5", "rotary"])
def test_a_completion_is_the_models(
    client: openai.OpenAI, make_model: Callable[..., Model], tokenizer: Tokenizer, name: str
) -> None:
    model = make_model(name)
    for temperature, seed in ((0.0, None), (1.0, 7)):
        how = Choice(temperature, top_p=0.9 if temperature else None)
        expected = generate_texts(model, tokenizer, [PROMPT], Request(100, how=how, seed=seed or 1))[0][0].text
        extra: dict[str, Any] = {"top_p": 0.9, "seed": seed} if temperature else {}
        whole = client.completions.create(model=name, prompt=PROMPT, max_tokens=100, temperature=temperature, **extra)
        assert whole.object == "text_completion" and len(whole.choices) == 1 and whole.usage is not None
        text = whole.choices[0].text
        if name == "t5":
            text = re.sub(r" ?<extra_id_\d+> ?", "", text)
            assert text == expected.replace(" ", "") or text.replace(" ", "") == expected.replace(" ", "")
        else:
            shown = (PROMPT if name in ("gpt", "rotary") else "") + text
            assert shown == expected or (name == "bart" and shown.startswith(expected))  # `generate` forces its last token
        assert whole.choices[0].finish_reason in ("stop", "length")
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_stream_joins_to_the_whole(server: Server, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "gpt", "prompt": [PROMPT, "every evening"], "max_tokens": 40, "n": 3, "seed": 5}
    whole = client.completions.create(**asked)
    texts: dict[int, str] = {}
    finishes: dict[int, str] = {}
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for chunk in chunks[:-1]:
        assert chunk.usage is None and chunk.id == chunks[0].id
        (choice,) = chunk.choices
        texts[choice.index] = texts.get(choice.index, "") + choice.text
        if choice.finish_reason:
            finishes[choice.index] = choice.finish_reason
    assert [texts[n] for n in range(6)] == [choice.text for choice in whole.choices]
    assert [finishes[n] for n in range(6)] == [choice.finish_reason for choice in whole.choices]
    assert len({choice.text for choice in whole.choices}) == 6  # each has a seed of its own
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert whole.usage is not None and whole.usage.completion_tokens > 50
    raw = server.post("/v1/completions", model="gpt", prompt=PROMPT, max_tokens=5, stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n") and all(line.startswith("data: ") for line in raw.text.split("\n\n")[:-1])
    assert "usage" not in raw.text


def test_stop_strings_and_echo(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "gpt", "prompt": PROMPT, "max_tokens": 60, "temperature": 0}
    text = client.completions.create(**asked).choices[0].text
    stop = text[7:12]
    cut = client.completions.create(**asked, stop=["\u2603", stop]).choices[0]
    assert cut.text == text[: text.index(stop)] and cut.finish_reason == "stop"
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stop=stop, stream=True))
    assert streamed == cut.text
    assert client.completions.create(**asked, echo=True).choices[0].text == PROMPT + text
    assert "".join(c.choices[0].text for c in client.completions.create(**asked, echo=True, stream=True)) == PROMPT + text


def test_log_probabilities(client: openai.OpenAI, make_model: Callable[..., Model], tokenizer: Tokenizer) -> None:
    """echo with max_tokens 0 scores a text: what the evaluation harness of EleutherAI asks for."""
    scored = client.completions.create(model="gpt", prompt=PROMPT, max_tokens=0, echo=True, logprobs=2).choices[0]
    ids, model = tokenizer.encode(PROMPT), make_model("gpt")
    with torch.inference_mode():
        logits = model(torch.tensor([ids]))[0, :-1, : tokenizer.size]
    expected = functional.log_softmax(logits.double(), -1)[range(len(ids) - 1), ids[1:]]
    found = scored.logprobs
    assert found is not None and found.token_logprobs is not None and found.tokens is not None and found.top_logprobs is not None
    assert scored.text == PROMPT and found.token_logprobs[0] is None and "".join(found.tokens).strip() == PROMPT
    torch.testing.assert_close(torch.tensor(found.token_logprobs[1:]).double(), expected, rtol=0, atol=1e-4)
    assert (
        len(found.top_logprobs[1]) == 2 and found.text_offset is not None and found.text_offset[:2] == [0, len(found.tokens[0])]
    )
    chat = client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "hello"}], logprobs=True, top_logprobs=3, max_tokens=4, seed=1
    ).choices[0]
    assert chat.logprobs is not None and chat.logprobs.content is not None and len(chat.logprobs.content) >= 1
    first = chat.logprobs.content[0]
    assert len(first.top_logprobs) == 3 and first.top_logprobs[0].logprob >= first.logprob and first.bytes


def test_a_chat_is_its_template_completed(client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Talk of houses."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "the house"},
        {"role": "user", "content": [{"type": "text", "text": "which "}, {"type": "text", "text": "one?"}]},
    ]
    answer = client.chat.completions.create(model="gpt", messages=messages, temperature=0, max_completion_tokens=20)
    text = "Talk of houses.\nUser: hello\nAssistant: the house\nUser: which one?\nAssistant:"
    plain = client.completions.create(model="gpt", prompt=text, temperature=0, max_tokens=20, stop="\nUser:")
    assert answer.choices[0].message.role == "assistant" and answer.object == "chat.completion"
    assert answer.choices[0].message.content == plain.choices[0].text.lstrip() != ""
    assert answer.usage == plain.usage
    deltas = [
        chunk.choices[0]
        for chunk in client.chat.completions.create(
            model="gpt", messages=messages, temperature=0, max_completion_tokens=20, stream=True
        )
    ]
    assert deltas[0].delta.role == "assistant" and deltas[-1].finish_reason == answer.choices[0].finish_reason
    assert "".join(delta.delta.content or "" for delta in deltas) == answer.choices[0].message.content
    for name in ("bart", "t5"):
        assert client.chat.completions.create(model=name, messages=messages, max_tokens=5).usage


def test_a_long_dialogue_loses_its_oldest_turns(client: openai.OpenAI) -> None:
    turns: list[Any] = [{"role": ("user", "assistant")[n % 2], "content": f"the old house {n}"} for n in range(41)]
    long = client.chat.completions.create(model="gpt", messages=turns, temperature=0, max_tokens=20)
    assert long.usage is not None and 80 < long.usage.prompt_tokens <= 109
    asked = [
        client.chat.completions.create(model="gpt", messages=turns[-kept:], temperature=0, max_tokens=20) for kept in (1, 3, 5, 7)
    ]
    sizes = [one.usage.prompt_tokens for one in asked if one.usage]
    assert long.choices[0].message.content in [one.choices[0].message.content for one in asked]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] == long.usage.prompt_tokens
    with pytest.raises(openai.BadRequestError, match="the prompt has") as error:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "house " * 200}], max_tokens=20)
    assert error.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "a", "max_tokens": 101}, "max_tokens: 101 tokens are wanted, and this server writes 100 at most"),
        ({"prompt": "the old house " * 40}, "the prompt has"),
        ({"prompt": "the old house " * 10, "max_tokens": 100}, "and 100 are wanted, but the model holds 128"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens: must be 1 or more without echo"),
        ({"prompt": "a", "temperature": 2.5}, "temperature: input should be less than or equal to 2"),
        ({"prompt": "a", "temperature": "hot"}, "temperature: input should be a valid number"),
        ({"prompt": "a", "top_p": 0}, "top_p: input should be greater than 0"),
        ({"prompt": "a", "n": 17}, "n: must be at most 16"),
        ({"prompt": "a", "n": 2, "temperature": 0}, "n: the likeliest tokens give one answer"),
        ({"prompt": "a", "best_of": 3}, "best_of: must be n"),
        ({"prompt": "a", "stop": list("abcde")}, "stop: must be a text of 1 to 256 characters, or a list of at most 4"),
        ({"prompt": "a", "stop": ""}, "stop: must be a text of 1 to 256"),
        ({"prompt": "a", "frequency_penalty": 1.0}, "frequency_penalty: "),
        ({"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias: "),
        ({"prompt": "a", "beams": 4}, "beams: is not supported by this server"),
        ({"prompt": [10_000]}, "prompt: there is no token 10000"),
        ({"prompt": []}, "prompt: must be a text, the ids of one"),
        ({"prompt": {"a": 1}}, "prompt: "),
        ({}, "prompt: field required"),
        ({"prompt": "a", "model": "bart", "echo": True, "logprobs": 1}, "logprobs: with echo, a model without an encoder"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(server: Server, body: dict[str, Any], message: str) -> None:
    answer = server.post("/v1/completions", **{"model": "gpt", **body})
    error = answer.json()["error"]
    assert answer.status_code == 400 and message in error["message"], error
    assert error["type"] == "invalid_request_error" and set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]


def test_what_is_no_request_is_refused(server: Server) -> None:
    for content in (b"", b"{", b"[1]", b'{"model": "\xff"}', b"\x00" * 50):
        answer = httpx.post(f"{server.url}/v1/completions", content=content)
        assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"
    assert server.post("/v1/chat/completions", model="gpt", messages=[{"role": "robot", "content": "a"}]).status_code == 400
    for path, status in (("/v1/embeddings", 404), ("/nothing", 404)):
        assert server.get(path).status_code == status and "error" in server.get(path).json()
    assert server.get("/v1/completions").status_code == 405


def test_64_clients_get_what_each_gets_alone(server: Server) -> None:
    """Greedy, drawn, streamed, chats, several answers, log-probabilities; compared as they are, to the last digit."""
    words = [
        "the",
        "old",
        "house",
        "stood",
        "near",
        "the",
        "river",
        "and",
        "people",
        "of",
        "the",
        "town",
        "told",
        "many",
        "stories",
        "about",
        "it",
    ]
    asked: list[tuple[str, dict[str, Any]]] = []
    for n in range(64):
        prompt = " ".join(words[n % 13 : n % 13 + 1 + n % 7])
        how: dict[str, Any] = {"model": ("gpt", "rotary", "bart", "t5")[n % 4], "max_tokens": 4 + n % 16, "seed": n}
        how |= {"temperature": (0, 1, 0.7)[n % 3], "n": 3 if n % 6 == 1 else 1, "stream": n % 5 == 0}
        if n % 8 < 2:
            asked.append(("/v1/chat/completions", {**how, "messages": [{"role": "user", "content": prompt}], "logprobs": True}))
        else:
            asked.append(("/v1/completions", {**how, "prompt": prompt, "logprobs": n % 3}))
    alone = [answered(server, *one) for one in asked]
    with ThreadPoolExecutor(64) as clients:
        for _ in range(2):
            assert list(clients.map(lambda one: answered(server, *one), asked)) == alone
    assert server.metric("rows") == server.metric("waiting") == 0
    assert server.metric("step_rows_total") > 1.5 * server.metric("step_seconds_count")  # they were in batches


def answered(server: Server, path: str, body: dict[str, Any]) -> dict[int, Any]:
    """Return the answers by their index: text, finish, and all log-probabilities in their order."""
    response = server.post(path, **body)
    assert response.status_code == 200, response.text
    events = [json.loads(line[6:]) for line in response.text.split("\n\n")[:-2]] if body["stream"] else [response.json()]
    found: dict[int, Any] = {}
    for event in events:
        for choice in event["choices"]:
            text, logprobs, finish = found.get(choice["index"], ("", [], None))
            said = choice.get("message") or choice.get("delta") or choice
            values = choice["logprobs"] or {}
            values = values.get("token_logprobs") or [one["logprob"] for one in values.get("content") or []]
            text += said.get("content") or said.get("text") or ""
            found[choice["index"]] = (text, logprobs + values, choice["finish_reason"] or finish)
    return found


def test_it_says_how_it_is(server: Server) -> None:
    health = server.get("/health")
    assert health.status_code == 200 and health.json()["ready"] and 1 in health.json()["batch_sizes"]["gpt"]
    assert server.get("/health/live").json() == {"live": True}
    text = server.get("/metrics").text
    for name in ("requests_total", "first_token_seconds_bucket", "completion_tokens_total", "rows", "waiting"):
        assert f"\ncorpusmill_{name}{{" in text
    assert server.metric("completion_tokens_total") > 0
    page = server.get("/")
    assert page.status_code == 200 and "<title>corpusmill serve</title>" in page.text
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
