"""The spelling of pieces: the marks of SentencePiece, WordPiece and byte-level BPE."""

from functools import lru_cache

SPACE_MARK = "\u2581"  # SentencePiece's mark of a space inside a piece
BYTE_LEVEL_SPACE = "\u0120"  # "Ġ": byte-level BPE's character for the byte of a space
NEWLINE = "\n"  # the piece between two lines
CONTINUED = "##"  # WordPiece: this piece continues a word


@lru_cache(maxsize=1)
def byte_of_character() -> dict[str, int]:
    """Return byte-level BPE's alphabet: visible bytes of Latin-1 stand for themselves, the others are U+0100 and up.

    GPT-2's encoder.py, bytes_to_unicode (Radford et al. 2019).
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in visible]
    return {chr(b): b for b in visible} | {chr(0x100 + n): b for n, b in enumerate(others)}
