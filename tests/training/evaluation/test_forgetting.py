"""What a model has lost of the data of the models that it began from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training.evaluation import forgetting
from training.evaluation.forgetting import earlier_data, losses, read_config
from training.evaluation.judge import judge
from training.run.pretrain import pretrain
from training.run.progress import read_metrics

Runs = tuple[Path, Path, Path]


def numbered(first: int) -> list[str]:
    return [" ".join(str((n * n + number) % 89) for n in range(40)) for number in range(first, first + 12)]


@pytest.fixture(scope="module")
def chain(
    dataset_folder: Path,
    make_dataset: Callable[..., Path],
    make_config: Callable[[Path, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Runs:
    """Three runs, each begun from the one before: of books and wiki, of letters, and of books that are other ones."""
    place = tmp_path_factory.mktemp("chain")
    config = make_config(dataset_folder, place)
    pretrain(config, ("sample.tokens=0",))
    runs = [place / "run"]
    for number, source in enumerate(("letters", "books")):
        documents = {(split, source, "en"): [numbered(40 * number + at)] for split, at in (("train", 0), ("validation", 20))}
        tokens = make_dataset(place / source, documents, tokenizer=dataset_folder)
        began = (f'train.init_from="{runs[-1]}"', f'run.out="{place / f"{source}-run"}"', f'data.tokens="{tokens}"')
        pretrain(config, (*began, "sample.tokens=0", "train.learning_rate=0.05"))
        runs.append(place / f"{source}-run")
    return runs[0], runs[1], runs[2]


def test_the_losses_on_old_sources_are_those_of_both_models_on_the_rows_of_the_old_run(chain: Runs):
    first, second, third = chain
    before = read_metrics(first / "metrics.jsonl")[-1]["validation_loss/books"]
    found = judge(second, first)
    assert list(found.sources) == ["letters"] and list(found.forgetting) == ["books"] and not found.notes
    mine, theirs = found.forgetting["books"]
    assert theirs == before and mine > before  # letters are all digits
    assert losses(read_config(first), first, (second,)).of_source("books") == (mine,)

    found = judge(third, second)  # the second model's own data, then that of the model it began from
    assert list(found.forgetting) == ["letters", "books"]
    after = read_metrics(second / "metrics.jsonl")[-1]["validation_loss/letters"]
    assert found.forgetting["letters"][1] == after
    assert found.forgetting["books"][1] == mine
    assert forgetting.mean(found.forgetting) == pytest.approx(
        (found.forgetting["letters"][0] - after + found.forgetting["books"][0] - mine) / 2
    )
    assert [line.split()[0] for line in forgetting.table(found.forgetting)] == ["forgetting", "letters", "books", "mean"]


def test_a_name_that_two_datasets_have_names_the_run_too(chain: Runs):
    _, _, third = chain
    assert [data.run for data in earlier_data(third)[0]] == ["books-run", "letters-run", "run"]
    found = judge(third, third).forgetting
    assert list(found) == ["books", "letters", "books of run"]
    assert all(mine == theirs for mine, theirs in found.values())


def test_data_that_is_gone_is_named_and_the_rest_is_measured(chain: Runs):
    _, second, third = chain
    letters = second.parent / "letters"
    letters.rename(second.parent / "moved")
    found = judge(third, second)
    (second.parent / "moved").rename(letters)
    assert list(found.forgetting) == ["books"]
    (note,) = found.notes
    assert note.startswith(f"{second}: what it was trained on cannot be read ({letters}: there is neither")
    assert forgetting.table({}, found.notes) == [f"not measured: {note}"]


def test_an_import_has_no_data_that_is_known(tmp_path: Path):
    (tmp_path / "imported").mkdir()
    data, notes = earlier_data(tmp_path / "imported" / "checkpoints" / "step-00000000")
    assert not data and notes == (
        f"{tmp_path / 'imported'}: is no pretraining run, so the data that it was trained on is not known",
    )
