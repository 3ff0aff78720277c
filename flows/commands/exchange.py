"""Exchange with other projects: `export` and `import`."""

import argparse

from flows.commands.arguments import Commands, need, need_torch
from pipelines.contract.errors import UserError

_FORMATS = ["gguf", "hf", "huggingface", "megatron", "mds", "nanogpt", "onnx", "tokenizer"]


class ExportOptionsError(UserError):
    """Options of `export` that do not go with what is exported."""


def add_commands(commands: Commands) -> None:
    """Add `export` and `import`."""
    export = commands.add_parser("export", help="write a model, tokens or a tokenizer in another project's format")
    export.add_argument(
        "folder",
        help="a pretraining run or a checkpoint (exports the model), a build or a tokens dataset (exports the tokens), or one "
        "of these or a vocabulary (exports the tokenizer)",
    )
    export.add_argument(
        "--to",
        required=True,
        choices=_FORMATS,
        help="hf (or huggingface): a model for AutoModel, tokens for `datasets`; onnx, gguf: a model; megatron, mds, nanogpt: "
        "tokens; tokenizer: for AutoTokenizer",
    )
    export.add_argument("--out", required=True, help="a new or empty folder")
    export.add_argument("--name", help="the vocabulary whose tokens are exported, if the build has several")
    export.add_argument("--split", action="append", metavar="SPLIT", help="train or validation; all by default")
    export.add_argument(
        "--family", choices=["bert", "gpt", "bart", "t5"], help="for a tokenizer: the family whose special pieces frame a text"
    )
    export.add_argument("--type", choices=["f32", "f16"], help="for gguf: how matrices are stored, f32 by default")
    export.add_argument("--push", metavar="ORG/NAME", help="for hf: also upload the model to the hub (HF_TOKEN, HF_ENDPOINT)")
    export.add_argument("--private", action="store_true", help="with --push: a new repository is private")
    export.set_defaults(run=_export)

    importing = commands.add_parser("import", help="make a checkpoint of a model that another project published")
    importing.add_argument(
        "source", help="a folder of Hugging Face, of Google's BERT, of OpenAI's GPT-2, or of fairseq's BART (or its .pt)"
    )
    importing.add_argument("--out", required=True, help="a new or empty folder, to be exported, generated with or trained on")
    importing.add_argument("--tokenizer", metavar="PATH", help="its tokenizer, if that is not in the same folder as the weights")
    importing.set_defaults(run=_import)


def _export(arguments: argparse.Namespace) -> int:
    from pipelines.contract import shards
    from pipelines.contract.tokenizers import loading
    from pipelines.exports.export import export
    from pipelines.exports.tokenizer import export_huggingface

    if arguments.type and arguments.to != "gguf":
        raise ExportOptionsError("--type is for --to gguf; leave it out")
    if _is_model(arguments.folder):
        return _export_model(arguments)
    if arguments.push:
        raise ExportOptionsError(f"{arguments.folder}: is no model; leave out --push, which uploads models")
    if arguments.to in ("gguf", "onnx"):
        raise ExportOptionsError(f"{arguments.folder}: is no model; {arguments.to} is a format of models")
    if arguments.to == "tokenizer":
        tokenizer = loading.load(shards.find(arguments.folder, arguments.name))
        export_huggingface(tokenizer, arguments.out, arguments.family)
        print(f"{arguments.out}: {tokenizer.size:,} pieces; AutoTokenizer.from_pretrained({arguments.out!r}) loads them")
        return 0
    to = "huggingface" if arguments.to == "hf" else arguments.to
    report = export(arguments.folder, arguments.name, to, arguments.out, arguments.split)
    for split, counts in report.splits.items():
        print(f"{split:<12} {counts['rows']:>12,} documents {counts['tokens']:>15,} tokens")
    print(f"{arguments.out}: {len(report.files):,} files, {report.bytes / 1e6:,.1f} MB, as {to} reads them")
    return 0


def _is_model(folder: str) -> bool:
    """Return whether the folder is a pretraining run or a checkpoint."""
    from pipelines.contract import files

    return files.exists(files.join(folder, "checkpoints")) or files.exists(files.join(folder, "model.pt"))


def _export_model(arguments: argparse.Namespace) -> int:
    need_torch()
    from pipelines.exports.tokenizer import export_huggingface
    from training.compression import hub

    if arguments.to not in ("gguf", "hf", "huggingface", "onnx"):
        raise ExportOptionsError(
            f"{arguments.folder}: is a model; export it --to hf, onnx or gguf ({arguments.to} is a format of tokens)"
        )
    if arguments.name or arguments.split or arguments.family:
        raise ExportOptionsError(f"{arguments.folder}: is a model; leave out --name, --split and --family, which are for tokens")
    if arguments.push:
        _refuse_push(arguments)
    if arguments.to == "onnx":
        return _export_onnx(arguments)
    if arguments.to == "gguf":
        return _export_gguf(arguments)
    report = hub.export(arguments.folder, arguments.out, export_huggingface)
    print(f"{report.checkpoint}: {report.family}, {report.parameters:,} parameters, {report.vocabulary:,} pieces")
    print(f"{report.out}: {report.architecture} in {len(report.files)} files, {report.bytes / 1e6:,.1f} MB")
    if arguments.push:
        print(hub.push(arguments.out, arguments.push, private=arguments.private))
    return 0


def _refuse_push(arguments: argparse.Namespace) -> None:
    """Raise what can be known before the export."""
    from pipelines.contract.files import is_local
    from training.compression import hub

    if arguments.to not in ("hf", "huggingface"):
        raise ExportOptionsError("--push is for --to hf; leave it out")
    if not is_local(arguments.out):
        raise ExportOptionsError(f"{arguments.out}: --push uploads a folder of this machine; name one")
    need("huggingface_hub", "export", "--push needs the package huggingface_hub")
    hub.refuse_push(arguments.push)


def _export_onnx(arguments: argparse.Namespace) -> int:
    for package in ("onnxruntime", "onnxscript"):
        need(package, "export", "ONNX needs onnxscript and onnxruntime")
    from training.compression import onnx

    written = onnx.export(arguments.folder, arguments.out)
    size = sum(written.values()) / 1e6
    print(f"{arguments.out}: {', '.join(written)}, {size:,.1f} MB; onnxruntime computes the same within {onnx.TOLERANCE}")
    return 0


def _export_gguf(arguments: argparse.Namespace) -> int:
    need("gguf", "export", "GGUF needs the package gguf")
    from training.compression import gguf

    written = gguf.export(arguments.folder, arguments.out, arguments.type or "f32")
    size = sum(written.values()) / 1e6
    print(f"{arguments.out}: {', '.join(written)}, {size:,.1f} MB; every tensor was read back and is the model's")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.convert.importing import import_model

    report = import_model(arguments.source, arguments.out, arguments.tokenizer)
    print(f"{report.source}: {report.kind}, {report.parameters:,} parameters, {report.vocabulary:,} pieces")
    for line in report.remarks:
        print(f"  {line}")
    print(f"{report.checkpoint}: corpusmill generate {arguments.out} --prompt …" if report.writes else report.checkpoint)
    return 0
