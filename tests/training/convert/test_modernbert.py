"""ModernBERT with its tokenizer: what their classes wrote is read, filled and written as they do; other models are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers as library
import torch
import transformers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from pipelines.contract.tokenizers.families import FAMILIES
from pipelines.exports.tokenizer import export_huggingface
from training.checkpoints import trained
from training.convert import huggingface, modernbert
from training.convert.export import ExportError, export
from training.convert.importing import import_model
from training.convert.rules import WeightsError
from training.generation.answers import fill_texts
from training.models import families
from training.models.composed import SIZES, ComposedShape
from training.models.composed_encoder import ComposedEncoder
from training.run import config
from training.run.pretrain import pretrain

LINES = ["to be in the old house near the river . many stories of the town were told"] * 9
NUMBERS: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 40, "local_attention": 6,
    "max_position_embeddings": 64, "pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3,
}  # fmt: skip
# The published config.json (answerdotai/ModernBERT-base), which release 5 of transformers writes otherwise.
PUBLISHED: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 50281,
    "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0, "classifier_pooling": "mean",
    "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False, "embedding_dropout": 0.0,
    "eos_token_id": 50282, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "gradient_checkpointing": False,
    "hidden_activation": "gelu", "hidden_size": 768, "initializer_cutoff_factor": 2.0, "initializer_range": 0.02,
    "intermediate_size": 1152, "layer_norm_eps": 1e-05, "local_attention": 128, "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192, "mlp_bias": False, "mlp_dropout": 0.0, "model_type": "modernbert", "norm_bias": False,
    "norm_eps": 1e-05, "num_attention_heads": 12, "num_hidden_layers": 22, "pad_token_id": 50283,
    "position_embedding_type": "absolute", "sep_token_id": 50282, "tie_word_embeddings": True, "torch_dtype": "float32",
    "transformers_version": "4.47.0.dev0", "vocab_size": 50368,
}  # fmt: skip


def write_tokenizer(folder: Path) -> int:
    """A byte-level BPE with BERT's pieces, as ModernBERT has; its mask takes the space before it along."""
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    pieces, alphabet = list(FAMILIES["bert"].pieces), pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=pieces, initial_alphabet=alphabet))
    made.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    made.post_processor = library.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
    special = {f"{name}_token": piece for name, piece in names.items()}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, model_input_names=["input_ids", "attention_mask"], **special
    ).save_pretrained(folder)
    return made.get_vocab_size()


def drawn(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Their folder, ours, and our export."""
    folder = tmp_path_factory.mktemp("modernbert")
    theirs = folder / "theirs"
    size = write_tokenizer(theirs)
    drawn(transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(vocab_size=size, **NUMBERS))).save_pretrained(theirs)
    report = import_model(theirs, folder / "ours")
    assert (report.family, report.remarks, report.kind) == ("composed", (), "Hugging Face's ModernBertForMaskedLM")
    assert export(folder / "ours", folder / "out", export_huggingface).architecture == "ModernBertForMaskedLM"
    return theirs, folder / "ours", folder / "out"


def test_masks_are_filled_as_by_their_pipeline(folders: tuple[Path, Path, Path]) -> None:
    theirs, ours, out = folders
    loaded = trained.load(ours)
    assert isinstance(loaded.model, ComposedEncoder)
    assert (loaded.model.shape.window, loaded.model.shape.global_every, loaded.model.shape.rotary_base) == (6, 3, 160_000)
    texts = ["to be [MASK] the old house near the river . many stories", "many stories of the [MASK] were told", "[MASK] river"]
    filled = fill_texts(loaded.model, loaded.tokenizer, texts)
    for folder in (theirs, out):
        pipeline: Any = transformers.pipeline("fill-mask", str(folder))
        for text, answer in zip(texts, filled, strict=True):
            found = pipeline(text)
            assert [guess.id for guess in answer.masks[0]] == [one["token"] for one in found]
            assert [guess.probability for guess in answer.masks[0]] == pytest.approx([one["score"] for one in found], abs=1e-5)


def test_a_second_export_is_the_same_to_the_byte(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = folders[2]
    assert import_model(out, tmp_path / "back").remarks == ()
    export(tmp_path / "back", tmp_path / "again", export_huggingface)
    names = sorted(file.name for file in out.iterdir())
    assert names == sorted(file.name for file in (tmp_path / "again").iterdir())
    for file in names:
        assert (tmp_path / "again" / file).read_bytes() == (out / file).read_bytes()
    config = json.loads((out / "tokenizer_config.json").read_text())
    assert (config["model_max_length"], config["model_input_names"]) == (64, ["input_ids", "attention_mask"])


def test_their_model_of_our_export_misses_nothing(folders: tuple[Path, Path, Path]) -> None:
    model, told = transformers.AutoModelForMaskedLM.from_pretrained(folders[2], output_loading_info=True)
    assert type(model).__name__ == "ModernBertForMaskedLM" and not any(told.values()), told


LARGE = {"num_hidden_layers": 28, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 2624}


@pytest.mark.parametrize(("size", "changed"), [("base", {}), ("large", LARGE)])
def test_a_published_config_is_the_size_of_its_name(size: str, changed: dict[str, Any]) -> None:
    found = modernbert.shape({**PUBLISHED, **changed})
    assert found == replace(SIZES[f"modernbert-{size}"], norm_epsilon=1e-5)
    todays = json.loads(transformers.ModernBertConfig(**{**PUBLISHED, **changed}).to_json_string())
    assert "layer_types" in todays and "global_rope_theta" not in todays
    assert modernbert.shape(todays) == found


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "bert"}, "model_type is 'bert'; this is not a ModernBERT"),
        ({"decoder_bias": False}, "decoder_bias is False; this program knows only True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"hidden_size": "768"}, "hidden_size must be a whole number, and is '768'"),
        ({"mlp_bias": True}, "mlp_bias is True beside attention_bias = False; this program knows all or none"),
        ({"hidden_activation": "gelu_new"}, "classifier_activation is 'gelu' beside hidden_activation = 'gelu_tanh'"),
        ({"hidden_activation": "mish"}, "hidden_activation is 'mish'; this program knows only gelu"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers is 0; it must be a whole number from 1"),
        ({"layer_types": ["sliding_attention"] * 22}, "this program knows only global layers at equal distances"),
        ({"layer_types": ["full_attention"] * 21}, "this program knows only global layers at equal distances"),
        ({"local_attention": 1}, "window: is of an encoder"),
        ({"global_rope_theta": 0.5}, "global_rope_theta is 0.5; it must be a whole number"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_parameters of full_attention are"),
        ({"num_attention_heads": 7}, "heads must divide width"),
    ],
)
def test_what_is_no_modernbert_is_refused_by_its_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        modernbert.shape({**PUBLISHED, **changed})


@pytest.mark.parametrize("cls", ["ModernBertModel", "ModernBertForSequenceClassification"])
def test_a_folder_without_a_head_gets_a_new_one_and_says_so(cls: str, tmp_path: Path) -> None:
    size = write_tokenizer(tmp_path)
    theirs = drawn(getattr(transformers, cls)(transformers.ModernBertConfig(vocab_size=size, **NUMBERS)))
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as caught:
        family, shape, weights = huggingface.read(tmp_path)
    told = " ".join(str(warning.message) for warning in caught)
    assert "decoder.bias; new ones are drawn" in told
    assert ("head.dense.weight" in told) == (cls == "ModernBertModel")
    assert ("classifier.weight" in told) == (cls != "ModernBertModel")
    model: Any = families.make(shape, 3).eval()
    model.load_state_dict(weights, strict=True)
    inputs = torch.arange(5, 25)[None]
    with torch.no_grad():
        body = theirs if cls == "ModernBertModel" else theirs.model
        assert family == "composed" and (model.hidden(inputs) - body(inputs).last_hidden_state).abs().max() < 1e-5


def test_a_missing_weight_is_named(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    theirs = transformers.ModernBertForMaskedLM.from_pretrained(folders[0])
    weights = theirs.state_dict()
    del weights["model.layers.2.mlp.Wo.weight"]
    theirs.config.save_pretrained(tmp_path)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"has no weight model\.layers\.2\.mlp\.Wo\.weight"):
        huggingface.read(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": "learned"}, "positions is 'learned', and Hugging Face's ModernBERT has only 'rotary'"),
        ({"norm_place": "post"}, "norm_place is 'post'"),
        ({"feed_forward": "gelu"}, "feed_forward is 'gelu', and Hugging Face's ModernBERT has only geglu, "),
    ],
)
def test_an_encoder_of_other_blocks_is_nobodys(
    changed: dict[str, Any], message: str, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    tokenizer = trained.load(folders[1]).tokenizer
    shape = replace(SIZES["modernbert-demo"], vocabulary=tokenizer.size, **changed)
    trained.save(tmp_path / "run", families.make(shape, 1), "composed", tokenizer, {})
    with pytest.raises(ExportError, match=message):
        export(tmp_path / "run", tmp_path / "out", export_huggingface)


ENCODER = (
    'model.family="composed"', 'model.size="modernbert-demo"', "model.window=4", 'objective.name="masked_lm"',
    "objective.next_sentence=false", "objective.share=0.3",
)  # fmt: skip


def test_one_is_pretrained_exported_and_trained_further(
    make_dataset: Callable[..., Path], documents: Any, tiny_config: Path, tmp_path: Path
) -> None:
    tokens = make_dataset(tmp_path / "tokens", documents, families=["bert"])
    sets = (*ENCODER, f"data.tokens={json.dumps(str(tokens))}", 'sample.prompt="the [MASK] house"')
    report = pretrain(tiny_config, sets)
    assert report is not None and report.last_validation_loss < report.first_validation_loss - 0.1
    assert set(report.terms) == {"tokens_accuracy"} and report.sample
    loaded = trained.load(report.out)
    assert isinstance(loaded.model, ComposedEncoder) and loaded.model.shape.window == 4
    (filled,) = fill_texts(loaded.model, loaded.tokenizer, ["the [MASK] house"], best=3)
    assert len(filled.masks[0]) == 3
    export(report.out, tmp_path / "hf", export_huggingface)
    found = transformers.pipeline("fill-mask", str(tmp_path / "hf"))("the [MASK] house", top_k=3)
    assert [guess.id for guess in filled.masks[0]] == [one["token"] for one in found]
    import_model(tmp_path / "hf", tmp_path / "back")
    first = f"train.init_from={json.dumps(str(tmp_path / 'back'))}"
    further = pretrain(tiny_config, (*sets, first, f"run.out={json.dumps(str(tmp_path / 'further'))}"))
    assert further is not None
    assert further.first_validation_loss == pytest.approx(report.last_validation_loss, abs=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("objective.next_sentence=true",), "objective.next_sentence needs a head for pairs, which a composed model lacks"),
        (('objective={name="causal_lm"}',), "objective.name is 'causal_lm', but a composed model that is not causal learns by"),
        (('model.size="demo"', "model.causal=true", "model.window=4"), "window: is of an encoder"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changed: tuple[str, ...], message: str, tiny_config: Path) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.load(tiny_config, (*ENCODER, *changed))


def test_the_shipped_configs_name_the_sizes() -> None:
    folder = Path(__file__).resolve().parents[3] / "configs" / "pretrain"
    for name, size in (("modernbert_demo", "modernbert-demo"), ("modernbert_base", "modernbert-base")):
        loaded = config.load(folder / f"{name}.toml")
        shape = loaded.model.shape(4096, loaded.positions)
        assert isinstance(shape, ComposedShape)
        assert shape == replace(SIZES[size], vocabulary=4096)
        assert loaded.objective.name == "masked_lm" and loaded.objective.share == 0.3
