import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.arguments import add_chat, parse
from training.checkpoints import trained
from training.checkpoints.store import Checkpoint
from training.generation.choose import Choice
from training.models.families import Model
from training.serving import terminal
from training.serving.dialogue import Fitted, Template, Trimmed, Turn, fit, template_of
from training.serving.served import batch_of
from training.serving.terminal import Chat

TURNS = [
    Turn("system", "s"),
    Turn("user", "a"),
    Turn("assistant", "b"),
    Turn("user", "c"),
    Turn("assistant", "d"),
    Turn("user", "e"),
]


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_the_oldest_turns_are_cut_and_the_system_stays() -> None:
    template = Template("{}\n", "U{}\n", "A{}\n", "A")
    texts = ["s\nUa\nAb\nUc\nAd\nUe\nA", "s\nUc\nAd\nUe\nA", "s\nUe\nA"]
    for most, (cut, text) in {
        99: (0, texts[0]),
        18: (0, texts[0]),
        17: (2, texts[1]),
        12: (2, texts[1]),
        11: (4, texts[2]),
    }.items():
        assert fit(template, TURNS, letters, most) == Fitted(letters(text), cut), most
    assert fit(template, TURNS, letters, 5) is None
    assert fit(template, [Turn("system", "s")], letters, 5) == Fitted(letters("s\nA"), 0)


def test_a_long_history_is_encoded_a_few_times_only() -> None:
    calls: list[int] = []

    def counted(text: str) -> list[int]:
        calls.append(len(text))
        return letters(text)

    turns = [Turn(("user", "assistant")[n % 2], "word " * 5) for n in range(10_001)]
    fitted = fit(Template(), turns, counted, 500)
    assert fitted is not None and 300 < len(fitted.ids) <= 500 and len(calls) < 20


def test_a_run_may_name_its_template() -> None:
    named = {"user": "<{}>", "stops": ["<"]}
    assert template_of(Checkpoint(Path("x"), 1, {"chat": named})) == Template(user="<{}>", stops=("<",))
    assert template_of(Checkpoint(Path("x"), 1, {})) == Template()
    for wrong in ({"users": "{}"}, {"user": "no place"}, ["{}"]):
        with pytest.raises(UserError, match="chat"):
            template_of(Checkpoint(Path("x"), 1, {"chat": wrong}))


def test_space_before_the_first_word_is_left_out() -> None:
    trimmed = Trimmed()
    assert [trimmed.push(part) for part in (" ", "\n", " a", " b")] == ["", "", "a", " b"]


def test_a_dialogue_goes_on_beyond_the_positions(make_model: Callable[..., Model], tokenizer: Tokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path / "gpt", make_model("gpt"), "gpt", tokenizer, {})
    batch, words = batch_of(trained.load(tmp_path / "gpt"), 1)
    chat = Chat(batch, words, Template(), "Talk.")
    for number in range(8):
        parts = list(chat.answer("the old house", 20, Choice(), 1))
        assert (chat.turns[-1] == Turn("assistant", "".join(parts)) and (chat.cut > 0) == (number > 2)) or number in (2, 3)
    assert len(chat.turns) == 16 and chat.cut > 4
    with pytest.raises(UserError, match="longer than the model's 128 positions"):
        list(chat.answer("house " * 200, 20, Choice(), 1))
    assert len(chat.turns) == 16


def test_chat_from_the_command_line(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(lines: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        assert terminal.run(parse(add_chat, [str(runs["gpt"]), "--tokens", "8", "--temperature", "0"])) == 0
        return capsys.readouterr().out.split("\n")

    first = said("the old\n\n/new\nthe old\n/quit\nnever\n")
    assert first[: len(first) // 2] == first[len(first) // 2 : -1]  # the same again after /new
