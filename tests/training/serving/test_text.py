from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.tokenizers.loading import Tokenizer
from training.serving.batching.text import StopStrings, TokenTexts

TEXTS = st.lists(st.sampled_from(["the", " old", "  ", "\n", "é", "河", "👩‍🚀", "x1", " \n\n", "houses"]), max_size=12).map(
    "".join
)


@given(before=TEXTS, text=TEXTS)
def test_texts_of_tokens_join_to_the_text(tokenizer: Tokenizer, before: str, text: str) -> None:
    whole = tokenizer.encode(before + text)
    head = tokenizer.encode(before)
    if whole[: len(head)] != head:  # the border falls within a piece
        return
    texts = TokenTexts(tokenizer, head, {})
    parts = [texts.push(token) for token in whole[len(head) :]]
    assert "".join(parts) + texts.flush() == tokenizer.decode(whole)[len(tokenizer.decode(head)) :]
    assert not any("\ufffd" in part for part in parts)


def test_bytes_that_are_no_text_are_given_out_at_last(tokenizer: Tokenizer) -> None:
    lone = tokenizer.encode("河")[-1]  # a byte in the middle of a character
    texts = TokenTexts(tokenizer, [], {})
    assert "".join(texts.push(lone) for _ in range(20)) != ""
    assert texts.push(tokenizer.encode("x")[-1]).endswith("x")


def test_sentinels_are_spelled_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.special_ids
    names = {ids[name]: name for name in ("<extra_id_0>", "<extra_id_1>")}
    texts = TokenTexts(tokenizer, [], names)
    row = [ids["<extra_id_0>"], *tokenizer.encode("old house"), ids["<extra_id_1>"], *tokenizer.encode("the river")]
    assert "".join(map(texts.push, row)) + texts.flush() == "<extra_id_0> old house <extra_id_1> the river"


@given(parts=st.lists(st.text("ab#", max_size=3), max_size=8), stops=st.lists(st.text("ab#", min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_its_first_stop_string(parts: list[str], stops: list[str]) -> None:
    whole = "".join(parts)
    stop = StopStrings(stops)
    shown = ""
    for number, part in enumerate(parts, 1):
        shown += stop.push(part)
        if stop.stopped:
            assert any(one in "".join(parts[:number]) for one in stops)
            break
    shown += stop.flush()
    places = [whole.find(one) for one in stops if one in whole]
    assert stop.stopped == bool(places)
    # the first that is complete: another may begin earlier and end later
    assert shown == whole[: len(shown)] and (len(shown) in places if places else shown == whole)
