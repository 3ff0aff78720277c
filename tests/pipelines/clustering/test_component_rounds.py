"""Components by rounds of exchanges: the answer of one union-find, for any number of ranges."""

import numpy as np
import pytest

from pipelines.clustering import components
from pipelines.clustering.components import by_rounds, label
from pipelines.clustering.workspace import workspace_for
from pipelines.config import CorpusConfig
from pipelines.units import spill
from pipelines.units.context import Context

CONFIG = CorpusConfig.model_validate(
    {"corpus": {"name": "t"}, "sources": [{"name": "s", "kind": "books", "root": "/nowhere", "snapshot": "1"}]}
)


def setting(tmp_path, budget=10**6):
    events = []
    context = Context(CONFIG, str(tmp_path), on_event=lambda name, facts: events.append((name, dict(facts))))
    return context, workspace_for(CONFIG.deduplicate, str(tmp_path / "spill"), 10, 0, 10, budget), events


def verdicts(tmp_path, first, second, count, alike=None):
    """Files of verdicts, their pairs dealt out."""
    better, other = np.minimum(first, second).astype(np.uint64), np.maximum(first, second)
    pairs = better << np.uint64(32) | other
    alike = np.ones(len(pairs), np.uint8) if alike is None else alike
    uris = []
    for i in range(count):
        uris.append(str(tmp_path / f"{i:05}" / "000-00000.arrow"))  # as ComparePairs names them
        spill.write_columns(uris[-1], pair=pairs[i::count], alike=alike[i::count])
    return uris


def labels(uris):
    found = spill.read_all(uris, node=np.uint32, component=np.uint32)
    return dict(zip(found["node"].tolist(), found["component"].tolist(), strict=True))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_path(tmp_path, shuffled):
    path = np.arange(100_000, dtype=np.uint32)
    path = np.random.default_rng(0).permutation(path) if shuffled else path
    context, made, events = setting(tmp_path)
    found = labels(by_rounds(context, made, verdicts(tmp_path, path[:-1], path[1:], 4), 3))
    assert found == dict.fromkeys(range(1, 100_000), 0)
    assert events[-1][1]["changes"] == 0
    assert events[-1][1]["rounds"] <= 18


def test_a_star(tmp_path):
    others = np.arange(999_999, dtype=np.uint32)
    context, made, _ = setting(tmp_path)
    uris = verdicts(tmp_path, np.full(len(others), 999_999, np.uint32), others, 2)
    found = spill.read_all(by_rounds(context, made, uris, 3), node=np.uint32, component=np.uint32)
    assert np.sort(found["node"]).tolist() == list(range(1, 1_000_000))
    assert not found["component"].any()


def test_a_random_graph_both_ways_by_the_budget(tmp_path):
    first, second = np.random.default_rng(3).integers(0, 900, (2, 600), dtype=np.uint32)
    first, second = first[first != second], second[first != second]
    alike = (np.arange(len(first)) % 5 != 0).astype(np.uint8)
    uris = verdicts(tmp_path, first, second, 3, alike)
    context, large, events = setting(tmp_path, budget=10**6)
    expected = labels(label(context, large, uris, int(alike.sum())))
    assert not [name for name, _ in events if name == "components"]
    context, little, events = setting(tmp_path, budget=50_000)
    assert labels(label(context, little, uris, int(alike.sum()))) == expected
    assert [name for name, _ in events if name == "components"]
    assert len(expected) > 300


def test_no_edges(tmp_path):
    context, made, _ = setting(tmp_path, budget=1)
    assert label(context, made, [], 0) == []
    uris = verdicts(tmp_path, np.array([1], np.uint32), np.array([2], np.uint32), 1, np.zeros(1, np.uint8))
    assert labels(by_rounds(context, made, uris, 2)) == {}


def test_a_bound_on_rounds(tmp_path, monkeypatch):
    monkeypatch.setattr(components, "MAX_ROUNDS", 6)
    path = np.arange(1000, dtype=np.uint32)
    context, made, _ = setting(tmp_path)
    with pytest.raises(ValueError, match=r"not found in 6 rounds .* raise deduplicate\.memory_mib"):
        by_rounds(context, made, verdicts(tmp_path, path[:-1], path[1:], 2), 2)
