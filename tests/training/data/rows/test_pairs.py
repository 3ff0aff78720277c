"""BERT's pairs against Google's algorithm, written down plainly, with the same draws."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from training.data.draws import key, words
from training.data.maps import Maps
from training.data.rows.layout import Layout
from training.data.rows.pairs import document_keys, pair_rows

MakeMaps = Callable[[Mapping[tuple[str, str], Any], bool], Maps]
Token = tuple[int, int]  # document, place
Pair = tuple[list[Token], list[Token], bool]


class Draws:
    """Google's rng, answering from the draws of one key."""

    def __init__(self, of: np.uint64) -> None:
        self._words = iter(words(np.array([of]), 3000)[0].tolist())
        self.asked: list[str] = []

    def random(self) -> float:
        self.asked.append("random")
        return (next(self._words) >> 11) * 2.0**-53

    def randint(self, low: int, high: int) -> int:
        self.asked.append(f"randint {low} {high}")
        return low + (((next(self._words) >> 32) * (high - low + 1)) >> 32)


def google(documents: list[list[list[Token]]], index: int, most: int, short_share: float, rng: Draws) -> list[Pair]:
    """create_instances_from_document, without its masking: sentences are lists of tokens."""
    document, target, made = documents[index], most, []
    if rng.random() < short_share:
        target = rng.randint(2, most)
    chunk: list[list[Token]] = []
    at = 0
    while at < len(document):
        chunk.append(document[at])
        if at == len(document) - 1 or sum(map(len, chunk)) >= target:
            split = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            first = [token for sentence in chunk[:split] for token in sentence]
            second: list[Token] = []
            is_random = len(chunk) == 1 or rng.random() < 0.5
            other = index
            if is_random:
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                begin = rng.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][begin:]:
                    second += sentence
                    if len(second) >= target - len(first):
                        break
                at -= len(chunk) - split
            else:
                second = [token for sentence in chunk[split:] for token in sentence]
            truncate(first, second, most, rng)
            made.append((first, second, is_random))
            chunk = []
        at += 1
    return made


def truncate(first: list[Token], second: list[Token], most: int, rng: Draws) -> None:
    while len(first) + len(second) > most:
        longer = first if len(first) > len(second) else second
        longer.pop(0 if rng.random() < 0.5 else -1)
    assert first and second


def tokens_of(document: int, lengths: list[int]) -> list[list[Token]]:
    places = np.cumsum([0, *lengths]).tolist()
    return [[(document, place) for place in range(first, last)] for first, last in pairwise(places)]


def found(maps: Maps, source: str, layout: Layout, seed: int) -> tuple[list[Pair], int]:
    made: list[Pair] = []
    cropped = 0
    for chunk in pair_rows(maps, maps.sources[source], layout, seed):
        assert chunk.random_next is not None and (chunk.counts == 2).all() and len(chunk.spans) == 2 * len(chunk.random_next)
        halves = [[(document, first + n) for n in range(tokens)] for document, first, tokens in chunk.spans.tolist()]
        made += list(zip(halves[::2], halves[1::2], chunk.random_next.tolist(), strict=True))
        cropped += chunk.cropped
    return made, cropped


def expected(maps: Maps, groups: list[list[list[list[int]]]], layout: Layout, seed: int) -> list[Pair]:
    """Every document of every run of the groups (languages), copy by copy."""
    made: list[Pair] = []
    number = run_number = 0
    for runs in groups:
        lengths = {}
        for run in runs:
            for document in run:
                lengths[number] = document
                number += 1
        filled = [number for number, of in lengths.items() if of]
        documents = [tokens_of(number, lengths[number]) for number in filled]
        ids = np.concatenate([maps.run(run_number + n).ids for n in range(len(runs))])
        first = min(lengths)
        run_number += len(runs)
        for index, document in enumerate(filled):
            low, high = np.frombuffer(ids[document - first].tobytes(), "<u8").tolist()
            for copy in range(layout.copies):
                rng = Draws(key(seed, copy, np.array([low], np.uint64), np.array([high], np.uint64))[0])
                made += google(documents, index, layout.tokens, layout.short_share, rng)
    return made


groups_of_runs = st.lists(
    st.lists(st.lists(st.lists(st.integers(1, 12), max_size=9), min_size=1, max_size=6), min_size=1, max_size=3),
    min_size=1,
    max_size=2,
)


@given(groups_of_runs, st.integers(3, 40), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.7]), st.integers(0, 2**62))
@many
def test_pairs_are_those_of_googles_algorithm(
    make_maps: MakeMaps, groups: Any, most: int, copies: int, short_share: float, seed: int
) -> None:
    maps = make_maps({("books", f"language{n}"): runs for n, runs in enumerate(groups)}, False)
    layout = Layout("pairs", most, copies=copies, short_share=short_share)
    pairs, cropped = found(maps, "books", layout, seed)
    assert pairs == expected(maps, groups, layout, seed)
    own = {token for first, second, is_random in pairs for token in (first if is_random else first + second)}
    assert cropped == sum(sum(document) for runs in groups for run in runs for document in run) - len(own)
    assert all(len(first) + len(second) <= most for first, second, _ in pairs)


def test_long_documents_over_many_runs(make_maps: MakeMaps) -> None:
    random = np.random.default_rng(5)
    runs = [[random.integers(1, 60, random.integers(1, 80)).tolist() for _ in range(12)] for _ in range(8)]
    maps = make_maps({("books", "en"): runs}, False)
    layout = Layout("pairs", 125, copies=2)
    pairs, _ = found(maps, "books", layout, 7)
    assert pairs == expected(maps, [runs], layout, 7)
    assert 0.5 < np.mean([is_random for _, _, is_random in pairs]) < 0.65
    assert len({first[0][0] // 12 != second[0][0] // 12 for first, second, is_random in pairs if is_random}) == 2


def test_pairs_do_not_depend_on_runs(make_maps: MakeMaps) -> None:
    """The draws of a document are its own; only the ids that the test makes up name the run."""
    documents = [np.random.default_rng(n).integers(1, 9, 1 + n % 7).tolist() for n in range(40)]
    whole = make_maps({("a", "en"): [documents]}, False)
    cut = make_maps({("a", "en"): [documents[:3], documents[3:4], documents[4:33], documents[33:]]}, False)
    ids = whole.run(0).ids
    for number, first in enumerate([0, 3, 4, 33]):
        cut.run(number).ids[:] = ids[first : first + cut.run(number).documents]
    layout = Layout("pairs", 20, copies=3)
    assert found(whole, "a", layout, 3) == found(cut, "a", layout, 3)


def test_a_lone_document_is_its_own_random_one(make_maps: MakeMaps) -> None:
    maps = make_maps({("a", "de"): [[[5]], [[]]], ("a", "en"): [[[4], [3, 2]]], ("b", "en"): [[[9]]]}, False)
    pairs, cropped = found(maps, "a", Layout("pairs", 30, short_share=0.0), 1)
    lone = [(0, place) for place in range(5)]
    assert pairs[0] == (lone, lone, True)  # after ten tries, as Google's; never of another language or source
    assert {document for first, second, _ in pairs[1:] for document, _ in first + second} == {2, 3}
    assert cropped == 0


def test_the_keys_are_of_seed_copy_and_id() -> None:
    ids = np.arange(32, dtype=np.uint8).reshape(2, 16)
    keys = document_keys(ids, 3, 9)
    assert keys.shape == (2, 3)
    low, high = (int.from_bytes(ids[1, at : at + 8].tobytes(), "little") for at in (0, 8))
    assert keys[1, 2] == key(9, 2, np.array([low], np.uint64), np.array([high], np.uint64))[0]


@pytest.mark.parametrize("tokens", [1, 2])
def test_rows_too_short_for_pairs_are_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match=r"too short; raise rows\.length"):
        Layout("pairs", tokens)
