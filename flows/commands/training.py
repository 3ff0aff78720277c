"""Commands that train a model and use it: `pretrain`, `compare`, `finetune`, `predict`, `prompt`, `generate`, `serve`, `chat`."""

import argparse

from flows.commands.arguments import Commands, need, need_torch, output
from flows.commands.asking import index_of
from training.arguments import (
    add_chat,
    add_compare,
    add_finetune,
    add_generate,
    add_predict,
    add_pretrain,
    add_prompt,
    add_serve,
)


def add_commands(commands: Commands) -> None:
    """Add `pretrain`, `compare`, `finetune`, `predict`, `prompt`, `generate`, `serve` and `chat`."""
    pretrain = commands.add_parser("pretrain", help="pretrain a model on token shards")
    add_pretrain(pretrain)
    pretrain.set_defaults(run=_pretrain)

    compare = commands.add_parser("compare", help="pretrain several models on the same number of bytes and compare them")
    add_compare(compare)
    compare.set_defaults(run=_compare)

    finetune = commands.add_parser("finetune", help="train a pretrained model on a task")
    add_finetune(finetune)
    finetune.set_defaults(run=_finetune)

    predict = commands.add_parser("predict", help="answer the records of a file with a fine-tuned model")
    add_predict(predict)
    predict.set_defaults(run=_predict)

    prompt = commands.add_parser("prompt", help="classify the records of a file by prompts, without training")
    add_prompt(prompt)
    prompt.set_defaults(run=_prompt)

    generate = commands.add_parser("generate", help="let a model continue a text, fill its masks or restore it")
    add_generate(generate)
    generate.set_defaults(run=_generate)

    serve = commands.add_parser("serve", help="answer over HTTP as OpenAI's API does, many clients at once")
    add_serve(serve)
    serve.set_defaults(run=_serve)

    chat = commands.add_parser("chat", help="talk with a model in the terminal")
    add_chat(chat)
    chat.set_defaults(run=_chat)


def _pretrain(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.run.pretrain import run

    return run(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.evaluation.compare import run

    return run(arguments)


def _finetune(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.tasks.finetune import run

    return run(arguments)


def _predict(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.tasks.predict import run

    return run(arguments)


def _prompt(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.prompts.prompt import run

    return run(arguments)


def _generate(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.generation.answers import run

    return run(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    need_torch()
    for package in ("fastapi", "prometheus_client", "uvicorn"):
        need(package, "serve", "serving needs FastAPI, uvicorn and prometheus-client")
    need("bm25s", "train", "the search of passages needs bm25s")
    from training.serving.server import run

    return run(arguments, lambda: index_of(output(arguments.corpus)))


def _chat(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.serving.terminal import run

    return run(arguments)
