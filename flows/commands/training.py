"""Commands that train a model and use it: `pretrain`, `compare`, `finetune`, `predict`, `prompt`, `generate`, `serve`, `chat`."""

import argparse

from flows.commands.arguments import Command, Commands, add_all, need, need_torch, output
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
    add_all(commands, _COMMANDS)


def _serve(arguments: argparse.Namespace) -> int:
    need_torch()
    for package in ("fastapi", "prometheus_client", "uvicorn"):
        need(package, "serve", "serving needs FastAPI, uvicorn and prometheus-client")
    need("bm25s", "train", "the search of passages needs bm25s")
    from training.serving.server import run

    return run(arguments, lambda: index_of(output(arguments.corpus)))


_COMMANDS = (
    Command("pretrain", "pretrain a model on token shards", add_pretrain, "training.run.pretrain"),
    Command(
        "compare",
        "pretrain several models on the same number of bytes and compare them",
        add_compare,
        "training.evaluation.compare",
    ),
    Command("finetune", "train a pretrained model on a task", add_finetune, "training.tasks.finetune"),
    Command("predict", "answer the records of a file with a fine-tuned model", add_predict, "training.tasks.predict"),
    Command("prompt", "classify the records of a file by prompts, without training", add_prompt, "training.prompts.prompt"),
    Command("generate", "let a model continue a text, fill its masks or restore it", add_generate, "training.generation.answers"),
    Command("serve", "answer over HTTP as OpenAI's API does, many clients at once", add_serve, _serve),
    Command("chat", "talk with a model in the terminal", add_chat, "training.serving.terminal"),
)
