"""The wiki templates whose text belongs to the sentence around them, and that text.

A page cannot be expanded without its wiki's templates, so a template is dropped unless it is listed here. The listed ones
only format text (a language, a font, a unit, a quotation) and go by many names. mwparserfromhell splits the parameters.

>>> rendered("{{convert|5|km|mi|abbr=on}}")
'5 km'
>>> rendered("{{Infobox|name=Oslo}}") is None
True
"""

import re
from collections.abc import Callable, Iterable

import mwparserfromhell

# Limits on the parser's input, because it takes minutes for some. All parameters of a larger template are taken as one.
MAX_CHARACTERS = 20_000
MAX_OPENINGS = 300  # of links, tags and templates

Renderer = Callable[[list[str], dict[str, str]], str]

_SYMBOLS = {
    "!": "|", "=": "=", "'": "'", "'s": "'s", "·": " · ", "•": " • ", "dot": " · ", "bull": " • ", "bullet": " • ",
    "middot": " · ", "ndash": "–", "–": "–", "en dash": "–", "mdash": "—", "—": "—", "em dash": "—", "snd": " – ",
    "spnd": " – ", "spaced ndash": " – ", "nbsp": " ", "space": " ", "spaces": " ", "tex": "TeX", "latex": "LaTeX",
    "m s.l.m.": "m s.l.m.", "ier": "er", "ière": "ère", "bc": "BC", "bce": "BCE", "ce": "CE",
}  # fmt: skip

# The first parameter is the text.
_FIRST = """
nowrap; nowrap2; nobr; nobreak; big; small; smaller; larger; large; resize; sc; smallcaps; maiuscoletto;
abbr; abbrlink; tooltip; visible anchor; vanchor; va; unicode; polytonic; script; mono; code; mvar;
math; var; kbd; key; keypress; samp; sub; sup; em; strong; strike; del; ins; underline; u; bold; b; i;
no italic; noitalic; not a typo; currency; railgauge; track gauge; ill; illm; interlanguage link;
interlanguage link multi; link-interwiki; lien; нп; нп1; нп2; нп3; нп4; нп5; не переведено;
не переведено 2; не переведено 3; не переведено 4; не переведено 5; 仮リンク; liên kết đa ngữ;
enlace interlingüístico; link le; tsl; internetlink; ruby; ルビ; ruby-ja; 読み仮名; ふりがな; 読み仮名 ruby不使用;
quote; quotation; blockquote; bquote; cquote; quote box; citation bloc; citation; cita;
cita publicación; zitat; "; 引用; 引用文; 인용문; цитата; начало цитаты; trích dẫn; rquote; poemquote; verse;
poem; columns-list; column list; div col; colonne; latin; grec; zh-hans; zh-hant; incise;
citazione necessaria; chiarire; citation needed span; cn-span; refnec; référence nécessaire;
référence souhaitée; 要出典範囲; 独自研究範囲; 要検証範囲; usd; eur; gbp; euro; cyrl; formatnum; lc; uc;
ucfirst; lcfirst; nihongo2; nihongo krt
"""

_QUOTED_TEXT = ("text", "texte", "testo", "texto", "quote", "content", "zitat", "lt", "1", "contenu", "texteparagraph")

# Names of the visible text in links to other wikis.
_LINK_TEXT = ("lt", "texte", "text", "trad", "label", "fr")


def _first(positional: list[str], named: dict[str, str]) -> str:
    named_text = next((named[key] for key in _QUOTED_TEXT if named.get(key)), "")
    return named_text or (positional[0] if positional else "") or next((named[key] for key in _LINK_TEXT if named.get(key)), "")


def _link(positional: list[str], named: dict[str, str]) -> str:
    shown = next((named[key] for key in _LINK_TEXT if named.get(key)), "")
    return shown or (positional[0] if positional else "")


def _second(positional: list[str], named: dict[str, str]) -> str:
    return named.get("2") or named.get("text") or (positional[1] if len(positional) > 1 else "")


def _last(positional: list[str], named: dict[str, str]) -> str:
    return positional[-1] if len(positional) > 1 else ""


def _joined(positional: list[str], named: dict[str, str]) -> str:
    return " ".join(part for part in positional if part)


def _number(positional: list[str], named: dict[str, str]) -> str:
    exponent = f" × 10^{named['e']}" if named.get("e") else ""
    unit = named.get("u") or named.get("ul") or ""
    return f"{positional[0] if positional else ''}{exponent} {unit}".strip()


_RANGE_WORDS = {"-", "–", "to", "and", "or", "by", "x", "×", "+/-", "±", "to(-)", "a", "y", "e"}


def _measure(positional: list[str], named: dict[str, str]) -> str:
    """Return "5 to 10 km" for {{convert|5|to|10|km|mi}}: the numbers and the first unit."""
    shown: list[str] = []
    for part in positional:
        shown.append(part)
        if part not in _RANGE_WORDS and not re.fullmatch(r"[\d.,/+−-]+", part):
            break
    return " ".join(shown).replace(" - ", "–").replace(" – ", "–")


def _fraction(positional: list[str], named: dict[str, str]) -> str:
    if len(positional) == 3:
        return f"{positional[0]} {positional[1]}/{positional[2]}"
    return "/".join(["1", *positional] if len(positional) == 1 else positional)


def _nihongo(positional: list[str], named: dict[str, str]) -> str:
    """Return "English (kanji, romaji)" for {{nihongo|English|kanji|romaji}}."""
    shown, *others = [*positional, "", "", ""][:4]
    inside = ", ".join(part for part in others if part)
    return f"{shown} ({inside})" if inside and shown else shown or inside


def _iso_date(positional: list[str], named: dict[str, str]) -> str:
    return "-".join(part.zfill(2) for part in positional[:3] if part.isdecimal())


def _century(positional: list[str], named: dict[str, str]) -> str:
    """Return "XIXe siècle" for {{s|XIX}} of frwiki; in itwiki, {{s}} only sorts."""
    return f"{positional[0]}e siècle" if positional and re.fullmatch("[IVX]+", positional[0]) else ""


def _chinese(positional: list[str], named: dict[str, str]) -> str:
    """Return "漢字, 汉字, hànzì" for {{zh|t=漢字|s=汉字|p=hànzì}}: the characters, then the transcription."""
    shown = dict.fromkeys(named[key] for key in ("c", "t", "s", "hanviet", "p") if named.get(key))
    return ", ".join(shown) or (positional[0] if positional else "")


_RENDERERS: dict[str, Renderer] = {
    **{name.strip(): _first for name in _FIRST.replace("\n", " ").split(";")},
    **dict.fromkeys(
        ["ill", "illm", "interlanguage link", "interlanguage link multi", "lien", "仮リンク", "liên kết đa ngữ"], _link
    ),
    **dict.fromkeys(
        ["lang", "langue", "lang2", "lang-xx", "langx", "llang", "ref-lang", "xlang", "språk", "taal", "язык"], _second
    ),
    **dict.fromkeys(["transl", "transliteration", "translit", "translittération", "rtl-lang", "script/hebrew"], _last),
    **dict.fromkeys(
        [
            "date",
            "date-",
            "date de naissance",
            "date de décès",
            "naissance",
            "décès",
            "date de naissance-",
            "date de décès-",
            "datum",
            "дата",
            "unité",
            "nombre",
            "heure",
            "angbr",
            "chem",
            "chem2",
            "hlist",
            "m",
        ],
        _joined,
    ),
    **dict.fromkeys(
        ["convert", "cvt", "converter", "convertir", "conv", "tmp", "перевести", "단위 변환", "nwrap", "mxt"], _measure
    ),
    **dict.fromkeys(["val", "num", "exp", "gaps", "e"], _number),
    **dict.fromkeys(["frac", "sfrac", "fraction", "frac2", "kesir"], _fraction),
    **dict.fromkeys(["nihongo", "nihongo3", "nihongo-s", "korean-s"], _nihongo),
    "as of": lambda positional, named: ("as of " if named.get("lc") else "As of ") + "-".join(positional[:3]),
    "circa": lambda positional, named: "c. " + "–".join(positional),
    "c.": lambda positional, named: "c. " + "–".join(positional),
    "m": lambda positional, named: " ".join(part.replace("-", "") for part in positional if part not in {"-", ""}),
    "exp": lambda positional, named: f"{positional[0]} × 10^{positional[1]}" if len(positional) > 1 else "",
    "e": lambda positional, named: f" × 10^{positional[0]}" if positional else "",
    **dict.fromkeys(["s", "s-", "siècle"], _century),
    "oldstyledate": lambda positional, named: " ".join(positional[:2]),
    **dict.fromkeys(["birth date", "death date", "start date", "end date", "film date"], _iso_date),
    **dict.fromkeys(["birth date and age", "death date and age"], _iso_date),
    **dict.fromkeys(["zh", "lang-zh", "chinese"], _chinese),
    "tl": lambda positional, named: positional[0] if positional else "",
}

_LANGUAGE = re.compile(r"lang-[a-z-]{2,12}|vol-[a-z]{2,3}")  # {{lang-ru|…}} in most wikis, {{vol-ru|…}} in ltgwiki
_CENTURY = re.compile(r"[ivx]+e siècle(?: av\. j\.-c\.)?")  # {{XXe siècle}} of frwiki shows its own name
_PARSER_FUNCTION = re.compile(r"(formatnum|lc|uc|ucfirst|lcfirst):(.*)", re.DOTALL | re.IGNORECASE)
_LANGUAGE_CODES = re.compile(r"en|fr|de|es|it|la|el|pt|ru|ja|zh|ko|ar|nl|sv|pl|tr|he|hu|cs|fi|da|no|uk|fa|hi|vi|th")


def rendered(template: str) -> str | None:
    """Return the wikitext that a template (with its braces) shows, perhaps with other templates; None if it is unknown.

    Names are compared without case; "_" counts as a space.
    """
    inner = template[2:-2]
    name = inner.partition("|")[0].replace("_", " ").strip()
    name = name.removeprefix("subst:").removeprefix("safesubst:")
    lowered = name.lower()
    if lowered in _SYMBOLS:
        return _SYMBOLS[lowered]
    if _CENTURY.fullmatch(lowered):
        return name
    function = _PARSER_FUNCTION.fullmatch(name)
    if function:
        return function[2].strip()
    renderer = _renderer(lowered, inner)
    return renderer(*_parameters(template)).strip() if renderer else None


def _renderer(name: str, inner: str) -> Renderer | None:
    if name in _RENDERERS:
        return _RENDERERS[name]
    if _LANGUAGE.fullmatch(name) or (_LANGUAGE_CODES.fullmatch(name) and "|" in inner):
        return _first
    return None


_NESTED = re.compile(r"[\[{<]")


def _parameters(template: str) -> tuple[list[str], dict[str, str]]:
    """Return the positional and the named parameters (names in lower case); {{a|2=b}} counts as {{a|b}}."""
    inner = template[2:-2]
    if not _NESTED.search(inner):  # as in most templates: every "|" separates parameters
        parts = [part.partition("=") for part in inner.split("|")[1:]]
        return _by_name((name if equals else None, value if equals else name) for name, equals, value in parts)
    openings = template.count("<") + template.count("[") + template.count("{")
    if len(template) > MAX_CHARACTERS or openings > MAX_OPENINGS:
        return [inner.partition("|")[2]], {}
    parsed = mwparserfromhell.parse(template, skip_style_tags=True).filter_templates(recursive=False)
    return _by_name((str(p.name) if p.showkey else None, str(p.value)) for p in (parsed[0].params if parsed else []))


def _by_name(parameters: Iterable[tuple[str | None, str]]) -> tuple[list[str], dict[str, str]]:
    positional: list[str] = []
    named: dict[str, str] = {}
    for name, value in parameters:
        key = "" if name is None else name.strip().lower()
        if name is None or key.isdecimal():
            positional.append(value.strip())
        else:
            named[key] = value.strip()
    return positional, named
