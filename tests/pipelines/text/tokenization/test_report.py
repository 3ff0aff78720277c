"""How a vocabulary fits: texts of unknown language are shown as such."""

import pyarrow as pa

from pipelines.contract.tokenizers import loading
from pipelines.text.tokenization.report import report
from pipelines.text.tokenization.vocabulary import train

LINES = ["The mill turned. Seven geese looked on, and 12 went home."] * 20
TOKENIZER = loading.from_bytes(train(LINES, "bpe", 400, ("<|endoftext|>",), 1), "bpe")


def test_texts_without_a_language_are_counted_as_und_and_not_as_english() -> None:
    texts = ["The mill turned.", "Seven geese.", "Home."]
    documents = pa.table({"source": ["books"] * 3, "language": pa.array(["en", None, None], pa.string()), "text": texts})
    found = report(TOKENIZER, documents)
    assert {language: fit["bytes"] for language, fit in found["by_language"].items()} == {"en": 16, "und": 17}
    assert found["by_source"]["books"]["bytes"] == 33
    assert {name: text.replace(" ", "").replace("▁", " ") for name, text in found["segmentations"].items()} == {
        "en": " The mill turned.",
        "und": " Seven geese.",
    }
