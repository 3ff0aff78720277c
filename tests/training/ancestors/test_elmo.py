"""ELMo: each direction sees its side only, states do not depend on padding, both losses, the scalar mix, training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.ancestors import language_model
from training.ancestors.elmo import ELMo, ELMoShape, ScalarMix, turned
from training.ancestors.words import read
from training.data.shards import open_dataset

V, D = 30, 8
PIECES = [bytes([97 + number % 26]) * (1 + number % 5) for number in range(V)]


def model_of(*, characters: bool = False) -> ELMo:
    torch.manual_seed(1)
    return ELMo(ELMoShape(V, D, characters=characters), PIECES if characters else ()).eval()


@pytest.mark.parametrize("characters", [False, True])
def test_the_forward_direction_sees_no_future_and_the_backward_no_past(characters: bool):
    model = model_of(characters=characters)
    row = torch.randint(V, (1, 9), generator=torch.Generator().manual_seed(2))
    changed = row.clone()
    changed[0, 3] = (row[0, 3] + 1) % V  # not the middle: a row read the wrong way round would pass
    with torch.no_grad():
        before, after = (model.layers(ids, torch.tensor([9]))[1:] for ids in (row, changed))
    for layer in range(2):
        moved = (before[layer, 0] - after[layer, 0]).abs()
        assert moved[:3, :D].max() == 0 and moved[3:, :D].sum(-1).min() > 0  # forward
        assert moved[4:, D:].max() == 0 and moved[:4, D:].sum(-1).min() > 0  # backward


def test_states_do_not_depend_on_padding_or_on_other_rows():
    model = model_of()
    with torch.no_grad():
        alone = model.layers(torch.tensor([[5, 6, 7]]), torch.tensor([3]))
        together = model.layers(torch.tensor([[1, 2, 3, 4, 5], [5, 6, 7, 9, 9]]), torch.tensor([5, 3]))
    assert alone.shape == (3, 1, 3, 2 * D)
    assert torch.allclose(alone[:, 0], together[:, 1, :3], atol=1e-6)


def test_the_first_layer_is_the_token_twice_and_the_second_has_a_residual():
    model = model_of()
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        layers, x = model.layers(ids, torch.tensor([3])), model.tokens(ids)
        first = model.forwards.layers[0](x)[0]
        second = model.forwards.layers[1](first)[0] + first
    assert torch.equal(layers[0], torch.cat([x, x], dim=-1))
    assert torch.allclose(layers[1, ..., :D], first) and torch.allclose(layers[2, ..., :D], second)


def test_losses_are_those_of_both_directions_token_by_token():
    model = model_of()
    rows, lengths = torch.tensor([[5, 6, 7, 8], [9, 4, 3, 0]]), torch.tensor([4, 3])
    with torch.no_grad():
        sums = model.losses({"ids": rows, "lengths": lengths})
        wanted = {"forward": 0.0, "backward": 0.0}
        for row in ([5, 6, 7, 8], [9, 4, 3]):
            for name, direction, ids in (("forward", model.forwards, row), ("backward", model.backwards, row[::-1])):
                for place in range(1, len(ids)):
                    states = direction(model.tokens(torch.tensor([ids[:place]])))[-1][0, -1]
                    logits = model.tokens.weight @ states + model.bias
                    wanted[name] -= float(logits.log_softmax(-1)[ids[place]])
    assert {name: float(value) for name, value in sums.items()} == pytest.approx(wanted, rel=1e-5)


def test_turned_reverses_the_real_part():
    assert turned(torch.tensor([[5, 6, 7, 0], [1, 2, 3, 4]]), torch.tensor([3, 4])).tolist() == [[7, 6, 5, 0], [4, 3, 2, 1]]


def test_the_scalar_mix_is_equation_1():
    mix = ScalarMix(3)
    layers = torch.arange(12.0).reshape(3, 2, 2)
    assert torch.allclose(mix(layers), layers.mean(0))
    with torch.no_grad():
        mix.scores.copy_(torch.tensor([0.5, 0.25, 0.25]).log())
        mix.gamma.fill_(2.0)
    assert torch.allclose(mix(layers), layers[0] + 0.5 * layers[1] + 0.5 * layers[2])


def test_rows_overlap_by_a_token():
    rows, lengths = language_model.rows_of(np.arange(1, 8), length=3)
    assert rows.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]] and lengths.tolist() == [4, 4]
    rows, lengths = language_model.rows_of(np.arange(1, 7), length=3)
    assert rows.tolist() == [[1, 2, 3, 4], [4, 5, 6, 0]] and lengths.tolist() == [4, 3]


def test_every_token_is_predicted_once(dataset_folder: Path):
    text = read(open_dataset(str(dataset_folder)), "validation")
    _, lengths = language_model.rows_of(text.stream(), length=16)
    assert int((lengths - 1).sum()) == len(text.stream()) - 1
    untrained = ELMo(ELMoShape(text.tokenizer.size, D))
    with torch.no_grad():
        for weights in untrained.parameters():
            weights.zero_()
    uniform = (len(text.stream()) - 1) * np.log(text.tokenizer.size)
    assert language_model.nats(untrained, text, length=16) == pytest.approx({"forward": uniform, "backward": uniform}, rel=1e-5)


def test_training_learns_and_repeats_itself(dataset_folder: Path):
    dataset = open_dataset(str(dataset_folder))
    text, held_out = read(dataset, "train", limit=4000), read(dataset, "validation", limit=1500)
    shape = ELMoShape(dataset.tokenizer.size, 16)
    once, again = (language_model.train(text, shape, passes=6, rate=3e-2, length=16) for _ in range(2))
    found = language_model.nats(once, held_out, length=16)
    assert found == language_model.nats(again, held_out, length=16)
    uniform = (len(held_out.stream()) - 1) * np.log(dataset.tokenizer.size)
    assert found["forward"] < 0.8 * uniform and found["backward"] < 0.8 * uniform


def test_characters_spell_each_piece_alike():
    model = model_of(characters=True)
    with torch.no_grad():
        x = model.tokens(torch.tensor([[0, 3, 26, 0]]))
    assert torch.equal(x[0, 0], x[0, 3]) and not torch.equal(x[0, 0], x[0, 1])
    assert PIECES[0] != PIECES[26] and not torch.equal(x[0, 0], x[0, 2])
