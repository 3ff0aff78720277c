"""Tokens/s and requests/s of `corpusmill serve` beside transformers' own generation of the same model; memory over many requests.

    make bench-serve
    make bench-serve OPTIONS="--layers 4 --width 256 --vocabulary 8192 --soak 2000"

A GPT of random weights, by default GPT-2's shape, answers prompts of 16 to 64 tokens with 16 to 64 tokens each, greedily. Ours is
asked over HTTP by that many clients at once, each with one request after the other. Theirs runs in this process without HTTP, on
scaled dot-product attention, in the two ways that its pipeline has: one request after the other, and all clients' requests as
one padded batch that is done when the longest answer is. `transformers serve`, its own server, is asked over HTTP by the same
clients, without and (where it runs on this machine) with its continuous batching. The sides take turns, and the best turn of each
counts.

Of each measurement, 16 answers of ours are compared with those that the server gives to the same requests alone.
"""

import argparse
import asyncio
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import sentencepiece
import tokenizers
import tokenizers.models
import tokenizers.pre_tokenizers
import torch
import transformers

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import END_OF_TEXT, Specials
from training.checkpoints import trained
from training.convert.huggingface import FAMILIES
from training.convert.rules import to_theirs
from training.models.families import make
from training.models.gpt import GPT, GPTShape

CLIENTS = (1, 8, 64)
ALONE = 16  # requests that are also asked alone, to compare
GOAL = 2.0  # times the tokens/s of theirs, one request after the other
SERVERS: Mapping[str, Sequence[str]] = {"serve": (), "serve_cb": ("--continuous-batching",)}  # options of `transformers serve`
Result = TypeVar("Result")
TEXT = "the old house stood near the river and the people of the town told many stories about it every evening"


class Theirs(NamedTuple):
    """A `transformers serve`."""

    url: str
    model: str  # that it serves


class Wanted(NamedTuple):
    """A request: its prompt's ids, and the tokens of its answer."""

    prompt: list[int]
    tokens: int


def wanted(count: int, vocabulary: int, most: int, seed: int) -> list[Wanted]:
    """Return requests of varied lengths."""
    draw = random.Random(seed)
    sizes = [(draw.randint(16, 64), draw.randint(most // 4, most)) for _ in range(count)]
    return [Wanted([draw.randrange(10, vocabulary) for _ in range(prompt)], tokens) for prompt, tokens in sizes]


def our_model(shape: GPTShape, folder: Path) -> GPT:
    """Write a checkpoint of random weights, whose end is never likely, and a small tokenizer; return the model."""
    model = make(shape, 1).eval()
    assert isinstance(model, GPT)
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT]), model_writer=file, model_type="bpe", vocab_size=300, control_symbols=[END_OF_TEXT],
        byte_fallback=True, bos_id=-1, eos_id=-1, minloglevel=2,
    )  # fmt: skip
    tokenizer = loading.from_bytes(file.getvalue(), "bpe")
    with torch.no_grad():
        model.embeddings.tokens.weight[tokenizer.special_ids[END_OF_TEXT]] = 0  # some other token's score is above 0
    trained.save(folder, model, "gpt", tokenizer, {})
    return model


def their_model(model: GPT) -> Any:
    """Return Hugging Face's model with the same weights."""
    names = FAMILIES["gpt"]
    specials = Specials(pad=0, begin=0, end=0, mask=None, decoder_start=None, sentinels=())
    config = transformers.AutoConfig.for_model(**names.config(model.shape, specials), attn_implementation="sdpa")
    theirs = getattr(transformers, names.ARCHITECTURE)(config)
    theirs.load_state_dict(to_theirs(names.rules(model.shape), model.state_dict()), strict=False)
    return theirs.eval()


@contextmanager
def their_server(model: Any, threads: int, *options: str) -> Generator[Theirs | None]:
    """Run `transformers serve`; yield None if it does not answer."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        names = {f"w{number}": number for number in range(model.config.vocab_size)}
        spelled = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token="w0"))
        spelled.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=spelled, eos_token="w0", pad_token="w0").save_pretrained(folder)
        model.save_pretrained(folder)
        binary = str(Path(sys.executable).parent / "transformers")
        command = [binary, "serve", folder, "--port", str(port), "--device", "cpu", "--attn-implementation", "sdpa", *options]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            served = Theirs(f"http://127.0.0.1:{port}", folder)
            try:
                yield served if asyncio.run(answers(served, process)) else None
            finally:
                process.kill()  # it may wait for what a client asked


async def answers(served: Theirs, process: subprocess.Popen[bytes]) -> bool:
    """Return whether a server answers a first request, within two minutes."""
    until = time.monotonic() + 120
    async with httpx.AsyncClient(timeout=60, verify=False) as http:
        while time.monotonic() < until and process.poll() is None:
            with suppress(httpx.HTTPError, KeyError, ValueError):
                answer = await http.post(f"{served.url}/v1/completions", json=as_text(Wanted([1, 2], 2), served.model))
                if answer.status_code == 200:
                    return bool(answer.json()["choices"][0]["text"])
                if answer.status_code < 500:
                    return False
            await asyncio.sleep(0.5)
    return False


def as_text(one: Wanted, model: str) -> dict[str, Any]:
    """Return a request to `transformers serve`, whose prompts are texts."""
    return {"model": model, "prompt": " ".join(f"w{i}" for i in one.prompt), "max_tokens": one.tokens, "temperature": 0}


async def asked_of_theirs(served: Theirs, requests: Sequence[Wanted], clients: int) -> None:
    """Ask their server as `asked` does ours."""
    left = iter(requests)

    async def client(http: httpx.AsyncClient) -> None:
        for one in left:
            answer = await http.post(f"{served.url}/v1/completions", json=as_text(one, served.model))
            answer.raise_for_status()
            written = answer.json()["usage"]["completion_tokens"]
            assert written == one.tokens, f"an answer of theirs has {written} tokens, not {one.tokens}"

    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None), verify=False) as http:
        await asyncio.gather(*[client(http) for _ in range(clients)])


@contextmanager
def server(folder: Path, threads: int) -> Generator[tuple[str, int]]:
    """Run `corpusmill serve`; yield its address and the number of its process."""
    command = [sys.executable, "-m", "flows.commands.main", "serve", f"gpt={folder}", "--port", "0", "--threads", str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)))
            yield found[0], process.pid
        finally:
            process.terminate()


async def asked(url: str, requests: Sequence[Wanted], clients: int) -> list[str]:
    """Return the answers; each client asks for one after the other."""
    texts = [""] * len(requests)
    left = iter(range(len(requests)))

    async def client(http: httpx.AsyncClient) -> None:
        for number in left:
            one = requests[number]
            body = {"model": "gpt", "prompt": one.prompt, "max_tokens": one.tokens, "temperature": 0}
            answer = await http.post(f"{url}/v1/completions", json=body)
            answer.raise_for_status()
            assert answer.json()["usage"]["completion_tokens"] == one.tokens, "an answer ended early"
            texts[number] = answer.json()["choices"][0]["text"]

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits, verify=False) as http:
        await asyncio.gather(*[client(http) for _ in range(clients)])
    return texts


@torch.inference_mode()
def generated(model: Any, requests: Sequence[Wanted]) -> None:
    """Let transformers answer requests as one batch, padded on the left; it is done when the longest answer is."""
    width = max(len(one.prompt) for one in requests)
    ids = torch.tensor([[0] * (width - len(one.prompt)) + one.prompt for one in requests])
    real = torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in requests])
    most = max(one.tokens for one in requests)
    model.generate(ids, attention_mask=real, max_new_tokens=most, min_new_tokens=most, do_sample=False, pad_token_id=0)


def timed(requests: Sequence[Wanted], work: Callable[[], Result]) -> tuple[float, Result]:
    """Return tokens/s, and what the work returns."""
    begin = time.perf_counter()
    result = work()
    return sum(one.tokens for one in requests) / (time.perf_counter() - begin), result


def resident(process: int) -> float:
    """Return the memory of a process in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(url: str, theirs: Any, servers: Mapping[str, Theirs], options: argparse.Namespace) -> int:
    """Print the table and the results, beside their servers by name; return the number of wrong answers."""
    wrong = 0
    columns = "".join(f"{name:>12}{'x':>8}" for name in ("one by one", "one batch", *servers))
    print(f"{'clients':>8}{'ours tok/s':>12}{'req/s':>8}{columns}")
    single = wanted(options.single, 300, options.tokens, 9)
    for clients in options.clients:
        requests = wanted(max(clients, options.single), 300, options.tokens, clients)
        batch = requests[:clients]
        alone = asyncio.run(asked(url, requests[:ALONE], 1))
        ours = one_by_one = one_batch = 0.0
        served = dict.fromkeys(servers, 0.0)
        for _ in range(options.rounds):
            speed, got = timed(requests, partial(asyncio.run, asked(url, requests, clients)))
            ours = max(ours, speed)
            wrong += sum(a != b for a, b in zip(got, alone, strict=False))
            one_by_one = max(one_by_one, timed(single, lambda: [generated(theirs, [one]) for one in single])[0])
            one_batch = max(one_batch, timed(batch, partial(generated, theirs, batch))[0])
            for name, address in servers.items():
                speed = timed(requests, partial(asyncio.run, asked_of_theirs(address, requests, clients)))[0]
                served[name] = max(served[name], speed)
        per_second = ours * len(requests) / sum(one.tokens for one in requests)
        ratios = ours / one_by_one, ours / one_batch
        theirs_shown = "".join(f"{speed:12.1f}{ours / speed:8.2f}" for speed in (one_by_one, one_batch, *served.values()))
        print(f"{clients:8}{ours:12.1f}{per_second:8.2f}{theirs_shown}")
        print(f"RESULT\tserve_{clients}_clients\t{ours:.1f}\ttokens/s\t-")
        print(f"RESULT\tserve_{clients}_clients_vs_generate\t{ratios[0]:.2f}\tx\t>={GOAL if clients > 1 else 1:g}")
        for name, speed in served.items():
            print(f"RESULT\tserve_{clients}_clients_vs_{name}\t{ours / speed:.2f}\tx\t>={GOAL if clients > 1 else 1:g}")
        print(f"RESULT\tserve_{clients}_clients_vs_padded_batch\t{ratios[1]:.2f}\tx\t>=1", flush=True)
    return wrong


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer; the shortest has a quarter")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--single", type=int, default=4, help="least requests of a measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--servers", nargs="*", default=list(SERVERS), choices=SERVERS, help="which `transformers serve` to ask")
    parser.add_argument("--soak", type=int, default=200, help="requests of the soak")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    shape = GPTShape(options.layers, options.heads, options.width, options.vocabulary, length=1024, dropout=0.0)
    with tempfile.TemporaryDirectory() as folder:
        model = our_model(shape, Path(folder))
        theirs = their_model(model)
        with ExitStack() as stack:
            url, process = stack.enter_context(server(Path(folder), options.threads))
            servers: dict[str, Theirs] = {}
            for name in options.servers:
                address = stack.enter_context(their_server(theirs, options.threads, *SERVERS[name]))
                if address is None:
                    print(f"{name}: `transformers serve` does not answer on this machine")
                else:
                    servers[name] = address
            wrong = measured(url, theirs, servers, options)
            print(f"RESULT\tserve_wrong_answers\t{wrong}\tanswers\t0")
            sizes: list[float] = []
            for part in range(4):
                requests = wanted(options.soak // 4, 300, 8, part)
                asyncio.run(asked(url, requests, 32))
                sizes.append(resident(process))
            print(f"memory after each quarter of {options.soak} requests, MiB: {json.dumps([round(size) for size in sizes])}")
            print(f"RESULT\tserve_soak_growth\t{sizes[3] - sizes[1]:.1f}\tMiB\t<=16")


if __name__ == "__main__":
    main()
