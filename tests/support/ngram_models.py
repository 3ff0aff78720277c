"""A stand-in for kenlm, which is compiled and so not among the packages of the tests: it reads ARPA files and scores sentences.

`tests/pipelines/text/judgement/test_perplexity.py` compares it with scores that kenlm 0.3.0 gave, and uses kenlm where it is
installed.
"""

from pathlib import Path


class Config:
    """kenlm.Config, as far as it is used."""

    show_progress = True


class Model:
    """kenlm.Model of a file in ARPA's format."""

    def __init__(self, path: str, _settings: Config) -> None:
        self.entries: dict[tuple[str, ...], tuple[float, float]] = {}
        text = Path(path).read_text()
        if not text.startswith("\\data\\") or not text.endswith("\\end\\\n"):
            raise OSError(f"Cannot read model '{path}'")
        for line in text.splitlines():
            probability, _, rest = line.partition("\t")
            words, _, backoff = rest.partition("\t")
            if words:
                self.entries[tuple(words.split(" "))] = float(probability), float(backoff or 0)

    def score(self, sentence: str) -> float:
        """Return log10 p(sentence </s> | <s>)."""
        words = [word if (word,) in self.entries else "<unk>" for word in sentence.split()]
        sequence = ["<s>", *words, "</s>"]
        return sum(self._last(tuple(sequence[max(0, end - 2) : end + 1])) for end in range(1, len(sequence)))

    def _last(self, gram: tuple[str, ...]) -> float:
        if gram in self.entries:
            return self.entries[gram][0]
        return self.entries.get(gram[:-1], (0.0, 0.0))[1] + self._last(gram[1:])
