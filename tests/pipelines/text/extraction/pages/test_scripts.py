"""Pages in many scripts: what their characters count for, and that their text stays as it was written."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.text.characters.normalize import normalize
from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages import forest, structure
from pipelines.text.extraction.pages.extract import judged
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse


def text(markup: str, *, markdown: bool = False) -> str:
    """Return all text of a page as `normalize` leaves it."""
    tree = parse(markup.encode())
    return normalize(pa.array([structure.write(tree, tree.tag == TEXT, markdown=markdown)]), whitespace="code")[0].as_py()


@pytest.mark.parametrize(
    ("line", "width", "wide", "words"),
    [
        ("The mill stands by the river.", 24, 0, 6),
        ("水车在河边。", 11, 5, 5),
        ("水車は川のそばに立っています。", 29, 14, 14),
        ("물레방아는 강가에 서 있습니다.", 27, 13, 4),
        ("पनचक्की नदी के किनारे खड़ी है।", 23, 0, 6),  # vowel signs count; the virama and the nukta do not
        ("הַטַּחֲנָה עומדת", 10, 0, 2),  # the points do not count
        ("الطَّاحُونَة تقف", 11, 0, 2),
        ("Cối xay gió đứng bên sông.", 21, 0, 6),
        ("ㅋㅋ", 2, 0, 1),
        ("e\u0301te\u0301", 3, 0, 1),
        ("กังหันลม", 14, 6, 6),
    ],
)
def test_what_characters_count_for(line: str, width: int, wide: int, words: int) -> None:
    counts = b.blocks(parse(f"<p>{line}".encode())).counts
    assert counts[:, [b.WIDTH, b.WIDE, b.WORDS]].tolist() == [[width, wide, words]]


@pytest.mark.parametrize(
    ("line", "terminals", "commas", "ends"),
    [
        ("متى تدور الطاحونة، ومتى تقف؟", 1, 1, 1),
        ("מתי הטחנה מסתובבת, ומתי היא עומדת?", 1, 1, 1),
        ("पनचक्की घूमती है। नदी बहती है॥", 2, 0, 1),
        ("水車は回り、止まる。いつ？", 2, 1, 1),
        ("물레방아가 돕니다, 그리고 멈춥니다…", 1, 1, 3),
        ("ہوا چلتی ہے۔", 1, 0, 1),
        ("ջրաղացը կանգնած է։", 1, 0, 1),
        ("የውሃ ወፍጮው ይዞራል።", 1, 0, 1),
        ("¿Gira el molino? ¡Sí!", 2, 0, 1),
        ("「水車」：", 0, 1, 4),
        ("กังหันลมหมุน", 0, 0, 2),  # Thai writes no mark: it may end a sentence
        ("မိုးရွာသည်။", 1, 0, 1),
    ],
)
def test_marks_of_sentences(line: str, terminals: int, commas: int, ends: int) -> None:
    counts = b.blocks(parse(f"<p>{line}".encode())).counts
    assert counts[:, [b.TERMINALS, b.COMMAS, b.ENDS]].tolist() == [[terminals, commas, ends]]


def test_visible_characters_count_once() -> None:
    page = judged(parse("<p>한글 漢字 abc กขค</p>".encode()), forest.default())
    assert page.visible_characters == 10


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        # A line end of the markup is no space between letters of scripts without spaces; others keep it.
        ("<p>水車は\n  川の<b>そば</b>\nに\r\n立つ。\nDebian は\n最高", "水車は川のそばに立つ。 Debian は最高"),
        ("<p>水车\n「河边」\n𠀀\n！", "水车「河边」𠀀！"),
        ("<p>東京 大阪\u3000京都\n \u3000奈良", "東京 大阪 京都 奈良"),
        ("<p>물레\n방아<p>ㅋㅋ\nㅎㅎ", "물레 방아\n\nㅋㅋ ㅎㅎ"),
        ("<p>กังหัน\nลม", "กังหัน ลม"),
        ("<a>東京</a>\n<a>大阪</a> <b>京都</b>\n<i>奈良</i>", "東京 大阪 京都 奈良"),
        ("<h2>水車<br>\n河", "水車\n河"),
        ("<ul><li>水車\n<li>川\nの岸</ul>", "- 水車\n- 川の岸"),
        # Readings are left out, and tear no word.
        (
            "<p><ruby>水<rt>すい</rt>車<rt>しゃ</rt></ruby>は<ruby>回<rp>（</rp><rt>まわ</rt><rp>）</rp></ruby>る。",
            "水車は回る。",
        ),
        # Joiners are letters' business; marks of direction are no text.
        ("<p>می\u200cخواهم", "می\u200cخواهم"),
        ("<p>क्\u200dष", "क्\u200dष"),
        ("<p dir=rtl>(shadow)\u200f و", "(shadow) و"),
        ("<p dir=rtl>הטחנה <b>עומדת</b>, <i>מתי</i>?<p>שורה<br>שנייה", "הטחנה עומדת, מתי?\n\nשורה\nשנייה"),
        ("<p>प<b>न</b>चक्की। नदी", "पनचक्की। नदी"),
        ("<p>물레<b>방아</b>는 “강가”에", "물레방아는 “강가”에"),
    ],
)
def test_text_stays_as_written(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


def test_markdown_in_scripts_without_spaces() -> None:
    assert text("<h2>水車\nの話</h2><p>川の\n岸に\n立つ", markdown=True) == "## 水車の話\n\n川の岸に立つ"


PAGES = {
    "he": (
        "הטחנה הישנה",
        "הטחנה עומדת על גדת הנהר כבר מאתיים שנה, והיא טוחנת חיטה בכל חורף כאשר המים גבוהים.",
        ("ראשי", "צור קשר"),
    ),
    "th": ("กังหันเก่า", "กังหันน้ำตั้งอยู่ริมแม่น้ำมาสองร้อยปี และโม่ข้าวทุกฤดูหนาวเมื่อน้ำขึ้นสูง ชาวบ้านนำข้าวมาโม่ที่นี่ทุกสัปดาห์", ("หน้าแรก", "ติดต่อเรา")),
    "hi": (
        "पुरानी पनचक्की",
        "पनचक्की दो सौ साल से नदी के किनारे खड़ी है, और हर सर्दी में जब पानी ऊँचा होता है तब गेहूँ पीसती है।",
        ("मुखपृष्ठ", "संपर्क"),
    ),
    "ko": (
        "오래된 물레방아",
        "물레방아는 이백 년 동안 강가에 서 있었고, 겨울마다 물이 높을 때 밀을 빻습니다. 마을 사람들이 옵니다.",
        ("홈", "연락처"),
    ),
    "ar": (
        "الطاحونة القديمة",
        "تقف الطاحونة على ضفة النهر منذ مئتي عام، وتطحن القمح كل شتاء عندما يرتفع الماء.",
        ("الرئيسية", "اتصل بنا"),
    ),
    "ja": (
        "古い水車",
        "水車は二百年のあいだ川の岸に立ち、毎年の冬、水が高いときに小麦を挽きます。村の人々が集まります。",
        ("ホーム", "お問い合わせ"),
    ),
}


@pytest.mark.parametrize("language", PAGES)
def test_an_article_without_its_menu(language: str) -> None:
    title, sentence, menu = PAGES[language]
    links = "".join(f"<li><a href=/{i}>{name}</a></li>" for i, name in enumerate(menu * 4))
    body = "".join(f"<p>{sentence} {sentence}</p>" for _ in range(6))
    head = f"<html lang={language}><title>{title}</title><div class=menu><ul>{links}</ul></div>"
    page = f"{head}<div id=content><h1>{title}</h1>{body}</div>"
    found = judged(parse(f"{page}<div class=footer><ul>{links}</ul></div>".encode()), forest.default())
    kept = [line for line, kept in zip(b.texts(found.tree, found.blocks), found.verdict.kept, strict=True) if kept]
    assert [line for line in kept if line != title] == [f"{sentence} {sentence}"] * 6
    assert np.count_nonzero(~found.verdict.kept) in (16, 17)
