"""Aozora's marks: each kind removed or resolved, exactly."""

import pytest
from places import SHARED

from pipelines.text.characters.encodings import decode
from pipelines.text.extraction.aozora import strip_aozora

DATA = SHARED / "books" / "ja"

RULE = "-" * 55
HEAD = f"水車\n作者\n\n{RULE}\n【テキスト中に現れる記号について】\n\n《》：ルビ\n（例）水車《すいしゃ》\n{RULE}\n\n"
FOOT = "\n\n\n\n底本：「本」\n　　　1999年発行\n青空文庫作成ファイル：\n"


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("　水車《すいしゃ》が回る。", "　水車が回る。"),
        ("古い｜水車小屋《すいしゃごや》", "古い水車小屋"),
        ("［＃３字下げ］第一章［＃「第一章」は中見出し］", "第一章"),
        ("水［＃「水」に傍点］の音", "水の音"),
        ("前\n［＃改ページ］\n後", "前\n後"),
        ("※［＃「口＋世」、U+546D］く", "呭く"),
        ("※［＃「目＋爭」、第3水準1-88-85］《みは》って", "睜って"),
        ("※［＃「魚＋花」、110-5］が", "〓が"),
        ("※［＃変体仮名し］", "し"),
        ("おや／＼、いろ／″＼", "おや〱、いろ〲"),
        ("見出し［＃「見出し」は窓中見出し］本文", "見出し\n本文"),
        ("彼は〔me'daillon〕 を", "彼はmédaillon を"),
        ("彼は〔原文のまま〕", "彼は〔原文のまま〕"),
        ("［１］の式", "［１］の式"),
        ("［＃「［」は底本では欠落］字", "［＃「［」は底本では欠落］字"),
    ],
)
def test_marks(marked: str, plain: str) -> None:
    assert strip_aozora(HEAD + marked + FOOT) == f"水車\n作者\n\n\n{plain}"


@pytest.mark.parametrize("text", ["", "《平家物語》を読む。｜印", "水車\n\n底本：不明\n"])
def test_other_texts_are_unchanged(text: str) -> None:
    assert strip_aozora(text) == text


def test_real_books_have_no_marks_left() -> None:
    if not DATA.exists():
        pytest.skip("the real books are not on this machine")
    for path in sorted(DATA.glob("*.txt"))[:6]:
        decoded = decode(path.read_bytes())
        assert decoded is not None
        text = strip_aozora(decoded.text)
        assert not [mark for mark in ("《", "［＃", "｜", "底本：", "-----") if mark in text], path.name
        assert len(text) > 0.4 * len(decoded.text)
