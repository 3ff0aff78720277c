"""The Arrow schemas of all tables of a dataset.

A document is one row from the reader to the shards; scores that are not yet known are null. Text columns are NFC.
"""

import hashlib
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_CHARACTERS_PER_DOCUMENT = 2**20  # a longer text is cut into pieces
UNKNOWN_LANGUAGE = "und"  # ISO 639-2 for undetermined: no known language; the name of a null language in tables and files
NO_LINGUISTIC_CONTENT = "zxx"  # ISO 639-2: code, tables, numbers
TARGET_BYTES_PER_BATCH = 16 * 2**20  # of text, in one Batch and so in one Parquet row group

IMAGE = pa.struct(
    [
        pa.field("url", pa.string(), nullable=False),  # absolute
        pa.field("alt", pa.string()),
        pa.field("caption", pa.string()),
    ]
)
LANGUAGES = pa.list_(
    pa.field(
        "item",
        pa.struct([pa.field("language", pa.string(), nullable=False), pa.field("share", pa.float32(), nullable=False)]),
        nullable=False,
    )
)
SCORE = pa.struct([pa.field("model", pa.string(), nullable=False), pa.field("score", pa.float32(), nullable=False)])
# What a page can say that it is, from its og:type and schema.org types.
SITE_TYPES = (
    *("article", "news", "blog", "forum", "question", "product", "recipe", "review", "documentation", "listing"),
    *("video", "audio", "image", "book", "course", "dataset", "software", "event", "job", "place", "organization", "person"),
    "page",  # og:type website, schema.org's WebPage: nothing in particular
)
OPT_OUTS = ("noindex", "noai", "noimageai", "tdm")  # text/extraction/pages/opt_outs.py has what each means

# What is measured of every text, for the quality rules: counts (int32), and one float32. Words, lines and sentences are those of
# text/characters/counts.py; text/judgement has a file for each group.
_COUNTS = (
    *("characters", "letters", "upper_letters", "marks", "digits"),  # marks: vowel signs and accents that are no letters
    *("tokens", "words", "letter_words"),  # tokens; those with a letter or digit; those with a letter
    *("measured_words", "measured_characters"),  # words of alphabets written with spaces, and their characters
    *("median_word_length", "longest_word", "capital_words", "unique_words"),  # words all in capitals; different words
    *("stop_words", "distinct_stop_words"),  # null for a language without a list in quality.stop_words
    "bad_words",  # null for a language without a list in quality.bad_words
    *("hashes", "ellipses", "curly_brackets", "lorem_ipsum"),
    *("sentences", "unmarked_letters"),  # unmarked: letters of scripts without sentence marks
    *("lines", "newlines", "short_lines", "bullet_lines", "ellipsis_lines", "punctuated_lines", "longest_line"),
    *("javascript_lines", "policy_lines", "uppercase_lines", "number_lines", "counter_lines", "one_word_lines"),
    "flagged_words",  # of the lines that RefinedWeb's rules are about
    *("prose_lines", "prose_words", "prose_sentences"),  # lines of five words or more that end in a terminal mark
    *("line_characters", "duplicate_lines", "duplicate_line_characters"),
    *("paragraphs", "paragraph_characters", "duplicate_paragraphs", "duplicate_paragraph_characters"),
    *("token_characters", "top_2gram_characters", "top_3gram_characters", "top_4gram_characters"),
    *(f"duplicate_{n}gram_characters" for n in range(5, 11)),
)
MEASURES = pa.struct([*(pa.field(name, pa.int32()) for name in _COUNTS), pa.field("word_entropy", pa.float32())])  # nats

_DOCUMENT_FIELDS = [
    pa.field("id", pa.binary(16), nullable=False),  # blake2b of source, NUL, key (and piece number)
    pa.field("work", pa.binary(16), nullable=False),  # the id without the piece number: all pieces of one book share it
    pa.field("source", pa.string(), nullable=False),  # the source's name in the config
    pa.field("snapshot", pa.string(), nullable=False),  # the source's edition: "20261101", "CC-MAIN-2026-43"
    pa.field("origin", pa.string(), nullable=False),  # file (relative to the source's root), "#", offset or record id
    pa.field("url", pa.string()),
    pa.field("title", pa.string()),
    pa.field("author", pa.string()),  # several are divided by "; "
    pa.field("date", pa.string()),  # of the document, as it says itself: ISO 8601, as far as it is known
    pa.field("retrieved", pa.string()),  # when a crawler fetched it: ISO 8601
    pa.field("license", pa.string()),  # what the document says, in the corpus the source's if it has one: SPDX where there is one
    pa.field("canonical_url", pa.string()),  # the address that the page says is its own
    pa.field("declared_language", pa.string()),  # as the page says, BCP 47; `language` is what was identified
    pa.field("site_type", pa.string()),  # what the page says that it is: a SITE_TYPES
    pa.field("opt_outs", pa.list_(pa.field("item", pa.string(), nullable=False))),  # of OPT_OUTS; null where none
    pa.field("images", pa.list_(pa.field("item", IMAGE, nullable=False))),  # null unless sources.images
    pa.field("text", pa.string(), nullable=False),  # NFC, lines end in "\n", never empty
    pa.field("language", pa.string()),  # BCP 47, as the model has it; "und", "zxx"; null before it is judged
    pa.field("language_score", pa.float32()),  # 0..1, of the language's group
    pa.field("languages", LANGUAGES),  # and their shares of the letters, the largest first; null where there is one
    pa.field("measures", MEASURES),  # of the text, as the rules read them; null before it is measured
    pa.field("rule", pa.string()),  # the first quality rule that would drop it (a DropReason); null if it passes all
    pa.field("rule_value", pa.float32()),  # the value that this rule measured
    pa.field("quality_score", pa.float32()),  # 0..1 from the classifier; null if it is off or has not run yet
    pa.field("scores", pa.list_(pa.field("item", SCORE, nullable=False))),  # of quality.models, in their order; null without any
]

DOCUMENTS = pa.schema(_DOCUMENT_FIELDS)

# A drop is the whole document in the state in which it was dropped, as evidence. `text` may be empty here.
DROPS = pa.schema(
    [
        *_DOCUMENT_FIELDS,
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # a DropReason
        pa.field("detail", pa.string()),  # for a person: the survivor's id, the measured value, the parser's message
    ]
)

CLUSTERS = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),  # the removed document
        pa.field("cluster", pa.binary(16), nullable=False),  # the least id of its connected component
        pa.field("survivor", pa.binary(16), nullable=False),  # the kept document that it resembles
        pa.field("similarity", pa.float32(), nullable=False),  # to the survivor, as verified; 1.0 if exact
        pa.field("grain", pa.string(), nullable=False),  # what the two share: a Grain
        pa.field("corpus", pa.string()),  # the earlier published corpus that has the survivor; null: this build
    ]
)

MASKS = pa.schema(  # of the corpus: what stands in place of private data, in the order of the documents
    [
        pa.field("id", pa.binary(16), nullable=False),  # the document
        pa.field("language", pa.string()),  # of the document
        pa.field("type", pa.string(), nullable=False),  # a PrivateType of text/judgement/private
        pa.field("kind", pa.string(), nullable=False),  # what exactly it is: "pl_pesel", "github_token"
        pa.field("start", pa.int32(), nullable=False),  # character of the published text where the token begins
        pa.field("start_before", pa.int32(), nullable=False),  # character of the text before it was masked
        pa.field("characters", pa.int32(), nullable=False),  # that the token replaces
    ]
)

CUTS = pa.schema(  # of documents and the corpus: what a stage cut out of a text, in the order of the stages and documents
    [
        pa.field("id", pa.binary(16), nullable=False),  # the document; before it was split into pieces, its work
        pa.field("stage", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),  # why: a Change
        pa.field("start", pa.int32(), nullable=False),  # character of the text before this cut
        pa.field("text", pa.string(), nullable=False),
        pa.field("detail", pa.string()),  # for a person: the benchmark's item
    ]
)

# The tables of the dataset repeats.
REPEATED = pa.schema(  # hashes of lines or paragraphs, sorted
    [
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),  # that contain it: at least 2
        pa.field("owner", pa.uint64(), nullable=False),  # the first 8 bytes (big-endian) of the id of the best-ranked of them
    ]
)
REPEATED_RUNS = pa.schema(  # runs of words to cut, sorted by document and place; text.characters.word_spans counts the words
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("first", pa.int32(), nullable=False),  # word
        pa.field("behind", pa.int32(), nullable=False),  # the word after the last one
    ]
)


class Grain(StrEnum):
    """The text or address that a removed document shares with its survivor."""

    EXACT = "exact"  # the whole text, as deduplicate.exact compares it
    NEAR = "near"  # at least as similar as the threshold
    URL = "url"  # the same address; the texts are less similar


def signatures(values: int, *, words: bool = False) -> pa.Schema:
    """Return the schema of signatures: what deduplication needs of each document, one row per document.

    A signature is `values` MinHash values; with `words`, hashes of the document's words are added for exact comparison.
    """
    fields = [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("exact", pa.binary(16), nullable=False),  # blake2b of the text, or of its words (deduplicate.exact)
        pa.field("url", pa.uint64(), nullable=False),  # hash of the canonical address; 0: none, or not configured
        pa.field("minhash", pa.list_(pa.field("item", pa.uint32(), nullable=False), values), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
    ]
    if words:
        fields.append(pa.field("words", pa.list_(pa.field("item", pa.uint32(), nullable=False)), nullable=False))  # hashes
    return pa.schema(fields)


def tokens(vocabulary_size: int) -> pa.Schema:
    """Return the schema of a token shard: uint16 ids if the vocabulary fits, else uint32. Special ids do not occur."""
    width = pa.uint16() if vocabulary_size <= 2**16 else pa.uint32()
    return pa.schema(
        [
            pa.field("tokens", pa.list_(pa.field("item", width, nullable=False)), nullable=False),
            pa.field("sentence_starts", pa.list_(pa.field("item", pa.uint32(), nullable=False)), nullable=False),
            pa.field("utf8_bytes", pa.uint32(), nullable=False),  # of the text: bits per byte need it
            pa.field("id", pa.binary(16), nullable=False),
        ]
    )


# What our fine-tuned models answer about a text (pipelines/text/judgement/annotators/, training/tasks/annotate.py), by task.
ANSWERS = {
    "classification": pa.list_(pa.float64()),  # a probability for each label, or the value of a regression
    "named_entities": pa.list_(pa.struct([("label", pa.string()), ("start", pa.int64()), ("end", pa.int64())])),  # bytes
}
MODEL_FACTS = b"model"  # the key of a stream's metadata: {"labels", "checkpoint"} as JSON


def document_id(source: str, key: str, piece: int | None = None) -> bytes:
    """Return the 16-byte id of a document: a function of its source and key, never of the place or time of reading.

    >>> document_id("books", "en/emma.txt").hex()
    'de04afb9b0f3d27d39a91648e85ff4df'
    """
    name = key if piece is None else f"{key}\0{piece}"
    return hashlib.blake2b(f"{source}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def is_validation(works: pa.Array, share: float) -> NDArray[np.bool_]:
    """Return which works belong to the validation split: the same ones in every build, whatever else the build holds.

    The first 8 bytes of a work, which is a hash, decide. Samples are drawn by the last 8 bytes of an id, so the two choices
    are independent.
    """
    return _leading_share(works, 0) < share


def sampling_key(ids: pa.Array) -> NDArray[np.float64]:
    """Return a number in [0, 1) per id, for samples that do not depend on the order of the documents."""
    return _leading_share(ids, 8)


def _leading_share(ids: pa.Array, first_byte: int) -> NDArray[np.float64]:
    if len(ids) == 0:
        return np.empty(0)
    words = np.frombuffer(ids.buffers()[1], dtype=">u8").reshape(-1, 2)[ids.offset : ids.offset + len(ids)]
    return words[:, first_byte // 8] / 2.0**64
