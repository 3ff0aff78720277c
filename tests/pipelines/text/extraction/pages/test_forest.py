"""The model file and the kernel that walks the trees."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.text.extraction.pages import forest
from pipelines.text.extraction.pages.features import FEATURES, Lexicon
from pipelines.text.extraction.pages.forest import Forest, ModelError, PageModel, load, save
from pipelines.text.extraction.pages.masks import scores

KEYS, ODDS = np.array([0, 5], np.uint64), np.array([0, 1.5], np.float32)
MODEL = PageModel(
    # Two trees: feature 0 at 1.0 and feature 1 at 0.5; the second has two inner nodes.
    Forest(
        first=np.array([0, 1], np.int32),
        feature=np.array([0, 1, 0], np.int16),
        threshold=np.array([1.0, 0.5, 3.0], np.float32),
        left=np.array([~0, 2, ~2], np.int32),
        right=np.array([~1, ~4, ~3], np.int32),
        leaf=np.array([-1.0, 1.0, 0.25, 0.5, 0.125], np.float32),
    ),
    Lexicon(KEYS, ODDS, KEYS, ODDS, KEYS, ODDS),
    {"trained": "2026-11-29"},
)


def test_a_value_at_the_threshold_goes_left() -> None:
    rows = np.array([[1.0, 0.5], [1.5, 0.5], [4.0, 0.0], [0.0, 0.6]], np.float32)
    assert scores(MODEL.masks, rows).tolist() == [-0.75, 1.25, 1.5, -0.875]


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(MODEL, tmp_path / "a.bin")
    save(MODEL, tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    read = load(tmp_path / "a.bin")
    assert read.card == MODEL.card
    for one, other in zip((*read.forest, *read.lexicon), (*MODEL.forest, *MODEL.lexicon), strict=True):
        assert one.dtype == other.dtype and one.tolist() == other.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "truncated or damaged"),
        (lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:], "truncated or damaged"),
        (lambda data: data.replace(b"model 1\n", b"model 9\n", 1), "'corpusmill page model 9' is not 'corpusmill page model 1'"),
        (lambda _data: b"", "'' is not 'corpusmill page model 1'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_fault(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "model.bin"
    save(MODEL, path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "train-extractor" in str(error.value)


def test_a_missing_file_and_other_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "none.bin")
    save(MODEL, tmp_path / "model.bin")
    monkeypatch.setattr(forest, "FEATURES", (*FEATURES, "another"))
    with pytest.raises(ModelError, match="other features"):
        load(tmp_path / "model.bin")


def test_the_programs_own_model_has_a_card() -> None:
    model = forest.default()
    assert {"trained", "data", "pages", "sites", "scores", "validation"} <= model.card.keys()
    assert len(model.digest) == 64
    assert int(model.forest.feature.max()) < len(FEATURES)
