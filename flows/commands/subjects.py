"""The help of the program: its commands by subject, and an example for each.

A command that stands in no subject is listed last; a test holds that there is none.
"""

import argparse
from collections.abc import Mapping

SUBJECTS: Mapping[str, Mapping[str, str]] = {  # by subject, an example by command
    "build a corpus": {
        "sample": "corpusmill sample build/sample",
        "benchmarks": "corpusmill benchmarks build/benchmarks",
        "build": "corpusmill build configs/corpus/demo.toml --out build/demo --set sources.kjv.priority=2",
        "verify": "corpusmill verify build/demo",
        "gc": "corpusmill gc build/demo --dry-run",
    },
    "look into a corpus": {
        "report": "corpusmill report build/demo --beside build/before",
        "explain": "corpusmill explain build/demo https://en.wikipedia.org/wiki/Anarchism",
        "tune": "corpusmill tune build/demo gopher.min_words=30",
        "similar": "corpusmill similar build/demo page.html --top 5",
        "audit": "corpusmill audit build/demo",
        "ask": "corpusmill ask build/demo 'Who wrote the psalms?' --reader build/finetune/squad_bert",
        "graph": "corpusmill graph build/demo --entities build/finetune/wnut17_bert --relations build/finetune/semeval2010_bert"
        " --out build/graph",
    },
    "make rules and read files": {
        "extract": "corpusmill extract page.html --out page.jsonl",
        "fit-rules": "corpusmill fit-rules articles.jsonl --language de --out rules_de.toml",
        "train-extractor": "corpusmill train-extractor truth.jsonl --pages pages.warc --out forest.txt",
    },
    "train a model": {
        "pretrain": "corpusmill pretrain configs/pretrain/gpt_demo.toml",
        "compare": "corpusmill compare configs/pretrain/gpt_demo.toml configs/pretrain/bert_demo.toml --bytes 1_000_000"
        " --out build/models",
        "finetune": "corpusmill finetune configs/finetune/sst2_bert.toml",
        "ancestors": "corpusmill ancestors build/demo --out build/ancestors",
        "trace": "corpusmill trace build/demo-gpt --step 100",
        "runs": "corpusmill runs build/demo-gpt build/demo-bert --out runs.html",
    },
    "use a model": {
        "generate": "corpusmill generate build/demo-gpt --prompt 'In the beginning'",
        "chat": "corpusmill chat build/finetune/dialogue_gpt",
        "predict": "corpusmill predict build/finetune/sst2_bert reviews.tsv --out answers.jsonl",
        "prompt": "corpusmill prompt configs/prompts/sst2_zero.toml",
        "serve": "corpusmill serve build/demo-gpt --port 8000",
    },
    "judge a model": {
        "evaluate": "corpusmill evaluate build/demo-gpt",
        "harness": "corpusmill harness build/demo-gpt --tasks lambada_openai --limit 100",
        "judge": "corpusmill judge build/demo-new build/demo-gpt",
        "look": "corpusmill look build/finetune/sst2_bert --text 'A fine film.' --out look.html",
    },
    "exchange and shrink": {
        "import": "corpusmill import bert-base-uncased/ --out build/bert",
        "export": "corpusmill export build/demo-gpt --to hf --out build/hf",
        "compress": "corpusmill compress build/finetune/sst2_bert --to int8 --out build/sst2_int8",
    },
    "run the program": {
        "deployments": "corpusmill deployments",
        "completion": 'eval "$(corpusmill completion bash)"',
    },
}
_EXAMPLE = "example: "


class Subjects(argparse.RawDescriptionHelpFormatter):
    """Lists the commands below their subjects."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            return super()._format_action(action)
        rows = {row.dest: row for row in action._get_subactions()}  # pyright: ignore[reportPrivateUsage]
        lines: list[str] = []
        self._indent()
        for subject, names in {**SUBJECTS, "more": dict.fromkeys(rows, "")}.items():
            there = [super(Subjects, self)._format_action(rows.pop(name)) for name in names if name in rows]
            lines += [f"\n  {subject}:\n", *there] if there else []
        self._dedent()
        return "".join(lines)


class _WithExample(argparse.HelpFormatter):
    """Breaks no line of an example, which may be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return indent + text if text.startswith(_EXAMPLE) else super()._fill_text(text, width, indent)


def add_examples(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Give each command's help its example, after its options."""
    for examples in SUBJECTS.values():
        for name, example in examples.items():
            parser = commands.choices[name]
            parser.epilog = parser.epilog or _EXAMPLE + example
            if parser.formatter_class is argparse.HelpFormatter:
                parser.formatter_class = _WithExample
