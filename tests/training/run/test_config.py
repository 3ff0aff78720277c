from pathlib import Path

import pytest
from places import ROOT

from training.run.config import ConfigError, load

ROOT = ROOT


def test_every_config_that_comes_along_is_valid() -> None:
    paths = sorted((ROOT / "configs" / "pretrain").rglob("*.toml"))
    assert paths
    for path in paths:
        config = load(path)
        first = path.read_text().splitlines()[0]
        assert first == f"# corpusmill pretrain {path.relative_to(ROOT)}"
        assert not Path(config.data.tokens).is_absolute()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rat=1", r"train\.learning_rat: unknown key; did you mean 'learning_rate'\?"),
        ("model.heads=3", r"model: heads must divide width, and 3 does not divide 16"),
        ("train.accumulate=9", r"train\.accumulate \(9\) must be at most data\.batch_rows \(8\)"),
        ("model.length=8", r"model\.length \(8\) must be at least that of all rows \(16\)"),
        ('objective={name="masked_lm"}', r"objective\.name is 'masked_lm', but gpt learns by 'causal_lm'"),
        ("train.warmup_steps=12", r"train: warmup_steps \(12\) must be less than steps \(12\)"),
        ("train.betas=[0.9, 1.0]", r"train: betas must lie in \[0, 1\)"),
        ("train.steps=0", r"train: give either steps or bytes"),
        ("train.bytes=5000", r"train: give either steps or bytes"),
        ("train.cooldown_steps=11", r"train: warmup_steps and cooldown_steps \(11\) must fit into steps \(12\)"),
        ('train.batch_scaling="sqrt"', r"train: batch_scaling and base_batch_rows go together; give both or neither"),
        ("train.phases=[{until_step=12,length=8}]", r"train: phases need increasing until_step values below steps \(12\)"),
        ('train.optimizer="adam"', r"train\.optimizer: .*'adamw'"),
        ('model.family="gtp"', r"model\.family: .*'gpt'"),
        ("model.dropout=1.0", r"model: dropout: .*less than 1"),
        (
            'model={family="t5",decoder_layers=0}',
            r"model\.decoder_layers: a T5 encoder alone cannot be trained here; set at least 1",
        ),
        ("train.steps=99_999_999_999_999", r"train\.steps: Input should be less than or equal to 2147483648"),
        ("train.weight_decay=inf", r"train\.weight_decay: Input should be a finite number \(given: Infinity\)"),
        ("train.learning_rate=nan", r"train\.learning_rate: Input should be a finite number"),
        ("train.threads=100_000", r"train\.threads: Input should be less than or equal to 1024"),
        ("data.mixture={books=inf}", r"data\.mixture\.books: Input should be a finite number"),
        ('run.out=""', r"run\.out: String should have at least 1 character"),
        ("train.cooldown_steps=2", r'train\.cooldown_steps: is for train\.schedule = "wsd", and the schedule is "cosine"'),
        (
            'objective={name="masked_lm",share=0.1,mean_span=3.0}',
            r"objective\.masked_lm\.mean_span: unknown key; known keys: name, share, max_predictions, whole_words, next_sentence",
        ),
        ('train.device="tpu"', r"train\.device: .*'cpu', 'cuda' or 'auto'"),
    ],
)
def test_impossible_numbers_are_named(tiny_config: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"tiny\.toml: .*{message}"):
        load(tiny_config, (override,))


def test_a_model_knows_the_positions_of_its_longest_phase(tiny_config: Path) -> None:
    assert load(tiny_config).positions == 16
    assert load(tiny_config, ("train.phases=[{until_step=4,length=32}]",)).positions == 32


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text("[model]\n")
    with pytest.raises(ConfigError, match=r"short\.toml: data: is missing; add it"):
        load(path)
