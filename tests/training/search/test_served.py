"""`/ask` of `corpusmill serve`: the answers of `corpusmill ask`, beside a model that writes."""

from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, chromium
from published import documents, publish_corpus
from serving import CLIENT, Server, request, serving, waited_for
from tuning import SHAPES

from flows.commands.asking import index_of
from flows.commands.main import main
from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.families import make
from training.run.device import Device
from training.search.asking import ask, encoder_of
from training.tasks import tuned

TEXTS = [
    "The old river runs \U0001f600 near the town. Many people told stories about it.",
    "The house stood near the river. Nobody lives there.",
    "Nothing to see here.",
]
_SLOWLY = """
import pathlib, time, training.serving.corpus as corpus
ask, folder = corpus.ask, pathlib.Path({folder!r})
def slowly(index, question, *words, **named):
    while "slowly" in question and not (folder / "go").exists():
        time.sleep(0.01)
    (folder / question).touch()
    return ask(index, question, *words, **named)
corpus.ask = slowly
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published build."""
    folder = tmp_path_factory.mktemp("served") / "build"
    publish_corpus(folder, documents(TEXTS))
    return folder


@pytest.fixture(scope="module")
def server(
    build: Path, tuned_runs: Mapping[str, Path], dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Server]:
    tokenizer = open_dataset(str(dataset_folder)).tokenizer
    writer = tmp_path_factory.mktemp("writer") / "gpt"
    trained.save(writer, make(SHAPES["gpt"](tokenizer.size), 1), "gpt", tokenizer, {})
    (build.parent / "answered").mkdir()
    setup = _SLOWLY.format(folder=str(build.parent / "answered"))
    options = ["--corpus", str(build), "--reader", str(tuned_runs["reader"]), "--encoder", str(tuned_runs["encoder"])]
    with serving([str(writer)], *options, "--threshold", "0", "--queue", "3", setup=setup) as started:
        yield started


def test_answers_are_those_of_ask(server: Server, build: Path, tuned_runs: Mapping[str, Path]) -> None:
    index, cpu = index_of(str(build)), Device("cpu", "float32")
    reader, encoder = tuned.load(tuned_runs["reader"]), encoder_of(index, tuned.load(tuned_runs["encoder"]), cpu)
    for question in ("Where is the river?", "old?", "?!", "\U0001f600"):
        wanted = ask(index, question, reader, cpu, encoder=encoder)
        answer = server.post("/ask", question=question, top=2)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert [(one["answer"], one["title"], one["url"]) for one in said["answers"]] == [
            (one.answer, one.title, one.url) for one in wanted[:2]
        ]
        assert said["question"] == question and said["answer"] == (wanted[0].answer if wanted else None)
        for one, found in zip(said["answers"], wanted, strict=False):
            assert one["sentence"] == found.before + found.answer + found.after and one["score"] == found.probability
            assert one["sentence"][one["begin"] : one["end"]] == one["answer"]
    assert len(server.post("/ask", question="Where is the river?").json()["answers"]) == 1
    assert server.get("/health").json()["asks"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "question: field required"),
        ({"question": ""}, "question: string should have at least 1 character"),
        ({"question": "x" * 1001}, "question: string should have at most 1000 characters"),
        ({"question": 7}, "question: input should be a valid string"),
        ({"question": "a", "top": 0}, "top: input should be greater than or equal to 1"),
        ({"question": "a", "top": 21}, "top: input should be less than or equal to 20"),
        ({"question": "a", "model": "gpt"}, "model: is not supported by this server; leave it out"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(server: Server, body: dict[str, Any], message: str) -> None:
    answer = server.post("/ask", **body)
    assert answer.status_code == 400 and message in answer.json()["error"]["message"], answer.text


def test_a_slow_question_holds_nobody_up_and_a_full_queue_says_so(server: Server, build: Path) -> None:
    """One is being answered and two wait; one of these hangs up and makes room."""
    answered = build.parent / "answered"
    with ThreadPoolExecutor(2) as clients:
        slow = [clients.submit(server.post, "/ask", question="slowly, river?")]
        assert waited_for(lambda: server.metric("rows") == 1)
        with server.connect() as hasty:
            hasty.sendall(request("/ask", question="slowly, too"))
            assert waited_for(lambda: server.metric("waiting") == 1)
            slow.append(clients.submit(server.post, "/ask", question="slowly, town?"))
            assert waited_for(lambda: server.metric("waiting") == 2)
            full = server.post("/ask", question="full?")
            assert full.status_code == 429 and full.headers["retry-after"] == "1"
            assert server.post("/v1/completions", model="gpt", prompt="the old", max_tokens=3).status_code == 200
        assert waited_for(lambda: server.metric("waiting") == 1)
        (answered / "go").touch()
        assert [one.result().status_code for one in slow] == [200, 200]
    assert {"slowly, river?", "slowly, town?"} <= {path.name for path in answered.iterdir()}
    assert not {"slowly, too", "full?"} & {path.name for path in answered.iterdir()}
    lines = server.get("/metrics").text.splitlines()
    for status in (429, 499):
        assert f'corpusmill_requests_total{{path="/ask",status="{status}"}} 1.0' in lines


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_asks(server: Server, tmp_path: Path) -> None:
    with chromium() as page:
        page.ask("Page.navigate", url=f"{server.url}/")
        assert waited_for(lambda: page.run("document.querySelector('#corpus:not([hidden])') !== null"))
        page.run("document.querySelector('#asked').value = 'Where is the old river?'")
        page.click("#find")
        assert waited_for(lambda: page.run("document.querySelectorAll('#found mark').length") > 0)
        best = server.post("/ask", question="Where is the old river?").json()["answers"][0]
        assert page.run("document.querySelector('#found mark').textContent") == best["answer"]
        assert page.errors == []
        page.picture(tmp_path / "ask.png")


def test_verify_and_gc_know_the_index(server: Server, build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last test here: it removes the index."""
    [index] = (build / "search").iterdir()
    assert main(["verify", str(build)]) == 0 and main(["gc", str(build)]) == 0
    assert index.exists() and "0 files and folders" in capsys.readouterr().out
    old = publish_corpus(build, documents(TEXTS[:1])).parent
    assert main(["gc", str(build)]) == 0
    assert not index.exists() and len(list(old.iterdir())) == 1
    assert server.post("/ask", question="Where is the river?").status_code == 200, "its files are still mapped"


def test_a_command_line_that_cannot_be_served_says_why(
    tuned_runs: Mapping[str, Path], build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = str(tuned_runs["reader"])
    refused = {
        "nothing to serve: name the folder of a run, or --corpus and --reader": [],
        "--corpus and --reader belong together": ["--corpus", str(build)],
        "--encoder finds passages of a corpus": [reader, "--encoder", reader],
        "is a question_answering run; --encoder needs a run of kind similarity": [
            *("--corpus", str(build), "--reader", reader, "--encoder", reader)
        ],
        "nothing is published there": ["--corpus", str(tmp_path), "--reader", reader],
    }
    for message, words in refused.items():
        assert main(["serve", *words, "--port", "0"]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_server_without_a_corpus_says_so(tuned_runs: Mapping[str, Path]) -> None:
    with serving([str(tuned_runs["encoder"])]) as server:
        answer = server.post("/ask", question="Where?")
        assert answer.status_code == 404 and "start it with --corpus BUILD --reader RUN" in answer.json()["error"]["message"]
        assert not server.get("/health").json()["asks"]
        assert CLIENT.get(f"{server.url}/ask").status_code == 405
