"""Strip the markup of wikitext: the first half of the extraction; `prose` reads the lines that this returns.

Everything here scans its input once or a fixed number of times, so no page can stall it.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.text.characters.code_spaces import protected
from pipelines.text.extraction.wikitext.templates import rendered

# Noncharacters (Unicode 23.7: never text) mark what `prose` needs to know; those of the input are removed first.
LINK, LINK_END = "\ufdd0", "\ufdd1"  # around the text of a link
GONE = "\ufdd2"  # something was removed here
BREAK = "\ufdd3"  # a new line in a paragraph
WEB = "\ufdd4"  # before a link to the web
CODE = "\ufdec"  # at the start of a line that is a block of code; its white space is written as stand-ins (`code_spaces`)
_MARKUP = "[]{}|'=<>*#:;_-&~ /\n"
_PROTECT = {ord(character): 0xFDD5 + index for index, character in enumerate(_MARKUP)}
PROTECT_BRACKETS = {ord(character): _PROTECT[ord(character)] for character in "[]{}<"}
UNPROTECT = {protected: character for character, protected in _PROTECT.items()}
PROTECTED = re.compile("[\ufdd5-\ufde8]")
NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")

MAX_TEMPLATE_DEPTH = 8  # known templates inside one another; deeper ones are dropped
MAX_LINK_DEPTH = 6  # links inside captions inside captions
MAX_RESIDUE_DEPTH = 8  # rounds in which the removal of markup may reveal more


def _words(lines: str) -> list[str]:
    return lines.split()


# Names of the file and category namespaces that pages use although a dump's <siteinfo> does not list them: aliases, and those
# of other wikis (MediaWiki, languages/messages/Messages*.php).
_FILE_NAMES = """
file image media datei bild fichier archivo imagen ficheiro imagem файл изображение картинка зображення ملف
صورة 파일 그림 文件 檔案 档案 圖像 图像 ファイル 画像 plik grafika bestand afbeelding fil tiedosto kuva soubor súbor fájl kép
dosya resim fișier imagine berkas gambar fails attēls attels vaizdas fitxer imatge slika датотека слика
αρχείο εικόνα קובץ תמונה پرونده تصویر चित्र ไฟล์ ภาพ dosiero fasciculus hình video immagine
"""
_CATEGORY_NAMES = """
category kategorie catégorie categoría categoria категория категорія категорија تصنيف 분류 分类 分類 カテゴリ kategoria
categorie kategori luokka kategória kategorija kategoreja κατηγορία קטגוריה رده श्रेणी หมวดหมู่ kategorio
"""


@dataclass(frozen=True, slots=True)
class Wiki:
    """A wiki: the names, in lower case, of the namespaces whose links show no text."""

    hidden: frozenset[str] = frozenset(_words(_FILE_NAMES + _CATEGORY_NAMES))

    @classmethod
    def of(cls, namespaces: dict[int, str]) -> "Wiki":
        """Return the wiki with a dump's namespaces: -2 and 6 are files, 14 is categories."""
        own = frozenset(namespaces[key].lower() for key in (-2, 6, 14) if namespaces.get(key))
        return cls(ANY_WIKI.hidden | own)

    def hides(self, prefix: str) -> bool:
        """Return whether links with this prefix show no text."""
        return prefix.strip().replace("_", " ").lower() in self.hidden


ANY_WIKI = Wiki()

_DISPLAY_MATH = re.compile(r"^[:*# \t]*<math\b[^<>]*>[^<]*</math>[ \t]*[.,;:]?[ \t]*$", re.MULTILINE | re.IGNORECASE)
_VARIANT = re.compile(r"-\{([^{}]*)\}-")
_SWITCH = re.compile(r"__[^\W\d_]{3,40}__")


def strip_markup(text: str, wiki: Wiki) -> str:
    """Return lines of text with the marks above; headings, list items and quotes keep their signs."""
    text = NONCHARACTERS.sub("", text) if not text.isascii() else text
    text = text.replace("\r\n", "\n")
    text = _strip_comments(text)
    if "<math" in text:
        text = _DISPLAY_MATH.sub("", text)
    text = _strip_elements(text)
    if "-{" in text:
        text = _VARIANT.sub(_variant_text, text)
    text = _strip_tables(_expand_templates(text))
    if "__" in text:
        text = _SWITCH.sub(lambda match: "" if match[0] == match[0].upper() else match[0], text)
    return _strip_tags(_replace_links(text, wiki))


# --- elements that are removed whole --------------------------------------------------------------------------------------------

_ELEMENT = re.compile(
    r"<(ref|nowiki|pre|math|gallery|timeline|score|imagemap|hiero|syntaxhighlight|source|templatedata|graph|mapframe|maplink"
    r"|inputbox|categorytree|ce|chem|indicator|references|table|poem)\b([^<>]*)>",
    re.IGNORECASE,
)


def _strip_comments(text: str) -> str:
    """Remove comments; a comment alone on its line goes with the line, as in MediaWiki."""
    if "<!--" not in text:
        return text
    out: list[str] = []
    place = 0
    while (start := text.find("<!--", place)) >= 0:
        end = text.find("-->", start + 4)
        end = len(text) if end < 0 else end + 3
        out.append(text[place:start])
        alone = text[start - 1 : start] == "\n" and text[end : end + 1] == "\n"
        place = end + 1 if alone else end
    return "".join([*out, text[place:]])


def _strip_elements(text: str) -> str:
    """Remove references, galleries … with their content; protect <nowiki>, code and formulas from the later steps."""
    out: list[str] = []
    place = 0
    unclosed: set[str] = set()
    while (tag := _ELEMENT.search(text, place)) is not None:
        out.append(text[place : tag.start()])
        place = tag.end()
        name = tag[1].lower()
        if tag[2].endswith("/") or name in unclosed:
            out.append(GONE)
            continue
        close = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, place)
        if close is None:  # no later element of this name is closed either: do not search again
            unclosed.add(name)
            continue
        out.append(_element_text(name, text[place : close.start()], tag[2]))
        place = close.end()
    return "".join([*out, text[place:]])


def _element_text(name: str, content: str, attributes: str) -> str:
    if name == "nowiki":
        content = NONCHARACTERS.sub("", html.unescape(content))
        return (protected(content) if "\n" in content else content).translate(_PROTECT)
    if name in ("syntaxhighlight", "source", "pre"):
        return _code(name, content, attributes)
    if name == "math":
        return " ".join(html.unescape(content).split()).translate(_PROTECT)
    if name == "poem":
        return content.strip("\n").replace("\n", BREAK)
    return GONE


_INLINE_ATTRIBUTE = re.compile(r"\binline\b", re.IGNORECASE)
_NOWIKI_TAG = re.compile(r"</?nowiki\s*/?>", re.IGNORECASE)


def _code(name: str, content: str, attributes: str) -> str:
    """Return code as a line of its own, or within its sentence if it has the attribute `inline`."""
    if name == "pre":  # character references are read in <pre>, and written out in the others
        content = NONCHARACTERS.sub("", html.unescape(_NOWIKI_TAG.sub("", content)))
    elif _INLINE_ATTRIBUTE.search(attributes):
        return " ".join(content.split()).translate(_PROTECT)
    lines = content.rstrip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return GONE
    return f"\n{CODE}{protected(chr(10).join(lines[first:])).translate(_PROTECT)}\n"


def _variant_text(match: re.Match[str]) -> str:
    """Return the first variant of -{zh-hans:A; zh-hant:B}- (Chinese wikis); a definition such as -{H|…}- shows nothing."""
    flags, bar, rule = match[1].rpartition("|")
    if bar and flags.strip().upper() in {"H", "T", "-", "D"}:
        return GONE
    first = next((part for part in rule.split(";") if part.strip()), "")
    return first.partition(":")[2].strip() if re.match(r"\s*zh[\w-]*:", first) else rule


# --- templates and tables ---------------------------------------------------------------------------------------------

_BRACES = re.compile(r"\{\{+|\}\}+")
_UNCLOSED_TEMPLATE = re.compile(r"[^\n]*(?:\n[ \t]*[|}!][^\n]*)*")
_TABLE = re.compile(r"^[ \t:*#]*(?:(\{\|)|\|\})", re.MULTILINE)
_UNCLOSED_TABLE_END = re.compile(r"^=|\n[ \t]*\n(?![ \t]*[|!\n])", re.MULTILINE)


def _expand_templates(text: str, depth: int = 0) -> str:
    """Replace every outermost template by its text."""
    if "{{" not in text and "}}" not in text:
        return text
    out: list[str] = []
    place = 0
    for start, end in _outermost_spans(text):
        shown = rendered(text[start:end]) if depth < MAX_TEMPLATE_DEPTH and not text.startswith("{{{", start) else None
        out += [_BRACES.sub("", text[place:start]), _expand_templates(shown, depth + 1) if shown else GONE]
        place = end
    return "".join([*out, _BRACES.sub("", text[place:])])


def _outermost_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the outermost {{…}}; an unclosed one ends with its line and the lines after it that begin with "|"."""
    spans, unclosed = _match_braces(text)
    for start in unclosed:
        match = _UNCLOSED_TEMPLATE.match(text, start)
        assert match is not None
        spans.append((start, match.end()))
    end = 0
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        if span[0] >= end:
            yield span
            end = span[1]


def _match_braces(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the matching pairs of braces (two or three wide, inner ones first, as in MediaWiki) and the unmatched openers."""
    spans: list[tuple[int, int]] = []
    stack: list[tuple[int, int]] = []
    for token in _BRACES.finditer(text):
        place, width = token.start(), token.end() - token.start()
        if text[place] == "{":
            stack.append((place, width))
            continue
        while width >= 2 and stack:
            opener, open_width = stack.pop()
            taken = min(3, width, open_width)
            place, width, open_width = place + taken, width - taken, open_width - taken
            spans.append((opener + (open_width if open_width >= 2 else 0), place))
            if open_width >= 2:
                stack.append((opener, open_width))
    return spans, [place for place, _ in stack]


def _strip_tables(text: str) -> str:
    """Remove tables, nested ones included; an unclosed one ends at a heading or at a paragraph that is not a row."""
    if "{|" not in text:
        return text
    spans: list[tuple[int, int]] = []
    stack: list[int] = []
    for token in _TABLE.finditer(text):
        if token[1]:
            stack.append(token.start())
        elif stack:
            spans.append((stack.pop(), token.end()))
    place = 0
    for start in stack:
        if start >= place:
            end = _UNCLOSED_TABLE_END.search(text, start)
            place = end.start() if end else len(text)
            spans.append((start, place))
    return _remove_spans(text, sorted(spans, key=lambda span: (span[0], -span[1])))


def _remove_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    out: list[str] = []
    place = 0
    for start, end in spans:
        if start >= place:
            out += [text[place:start], GONE, "\n"]
        place = max(place, end)
    return "".join([*out, text[place:]])


# --- links and tags ---------------------------------------------------------------------------------------------------

_WIKILINK = re.compile(r"\[\[([^\[\]]*(?:(?:\[(?!\[)|\](?!\]))[^\[\]]*)*)\]\]")
_WEBLINK = re.compile(r"\[(?:(?:https?|ftp|irc|news|mailto):|//)[^\s\[\]<>]*[ \t]*([^\[\]\n]{0,1000})\]", re.IGNORECASE)
_BARE_WEB = re.compile(r"(?:https?|ftp|HTTPS?|Https?)://[^\s\[\]<>{}|\"]+")
_MEDIA = re.compile(r"\.(?:jpe?g|png|svg|gif|tiff?|webp|ogg|oga|ogv|webm|mp3|wav|mid|pdf|djvu|xcf)\s*$", re.IGNORECASE)
_INTERLANGUAGE = re.compile(r"(?:[a-z]{2,3}|simple)(?:-[a-z]{2,6}){0,2}")
_NO_LANGUAGE = frozenset({"doi", "rfc", "irc", "wp", "wmf"})
_UNCLOSED_FILE = re.compile(r"\[\[[ \t]*([^\[\]|:\n]{1,40}):[^\n\[\]]*")
_UNCLOSED_TARGET = re.compile(r"\[\[[^\[\]|\n]{0,200}\|(?:[^\[\]|\n]{0,40}\|)*")


def _replace_links(text: str, wiki: Wiki) -> str:
    """Replace every link, innermost first, by the text that it shows, between marks."""
    for _ in range(MAX_LINK_DEPTH):
        replaced = _WIKILINK.sub(lambda match: _link_text(match[1], wiki), text)
        if replaced == text:
            break
        text = replaced
    if "[[" in text:
        text = _UNCLOSED_FILE.sub(lambda match: GONE if wiki.hides(match[1]) else match[0], text)
        text = _UNCLOSED_TARGET.sub("", text)
    if "[" in text:
        text = _WEBLINK.sub(lambda match: f"{WEB}{LINK}{match[1]}{LINK_END}" if match[1] else WEB + GONE, text)
    if "://" in text:
        text = _BARE_WEB.sub(WEB + GONE, text)
    return text.replace("[[", "").replace("]]", "")


def _link_text(content: str, wiki: Wiki) -> str:
    target, bar, shown = content.partition("|")
    target = target.strip()
    prefix, colon, rest = target.partition(":")
    if colon and prefix and (wiki.hides(prefix) or _MEDIA.search(rest)):
        return GONE
    if colon and not bar and _INTERLANGUAGE.fullmatch(prefix) and prefix not in _NO_LANGUAGE:
        return GONE  # a link to the same page in another language: shown in the margin
    if not bar:
        shown = target.lstrip(":#")
    elif not shown.strip():  # the pipe trick: the target without namespace and bracketed part
        shown = re.sub(r" ?\([^()]*\)$", "", rest or target)
    return f"{LINK}{shown.rpartition('|')[2]}{LINK_END}"


_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)\b[^<>]*>")
_BLOCKS = frozenset(
    _words("""
p div blockquote center dl dt dd ul ol tr td th h1 h2 h3 h4 h5 h6 table tbody hr caption li
""")
)
_INLINE = frozenset(
    _words("""
b i u s em strong small big span font sub sup code tt kbd samp var abbr cite q del ins strike bdi
bdo ruby rb rp rt rtc mark data time dfn nobr wbr a ref references noinclude includeonly
onlyinclude nowiki pre math poem gallery timeline score source syntaxhighlight section
templatestyles translate tvar languages indicator img label acronym ce chem hiero imagemap
""")
)
_RAISED = re.compile(r"<(sup|sub)\b[^<>]*>([0-9+\-−=()]{1,12})</\1\s*>", re.IGNORECASE)
_SUP = str.maketrans("0123456789+-−=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾")
_SUB = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


def _strip_tags(text: str) -> str:
    if "<" not in text:
        return text
    text = _RAISED.sub(lambda match: match[2].translate(_SUP if match[1].lower() == "sup" else _SUB), text)
    return _TAG.sub(_tag_text, text)


def _tag_text(match: re.Match[str]) -> str:
    name = match[2].lower()
    if name == "br":
        return BREAK
    if name == "li":
        return "" if match[1] else "\n* "
    if name in _BLOCKS:
        return "\n\n"
    return "" if name in _INLINE else match[0]  # anything but an HTML tag is text: <stdio.h>


# --- markup that the removal creates ------------------------------------------------------------------------------------

_RESIDUE_SIGNS = ("{{", "}}", "[[", "]]", "<")
_RESIDUE = re.compile(
    rf"\{{\{{+|\}}\}}+|\[\[+|\]\]+|<!--|</?(?:br|{'|'.join(sorted(_BLOCKS | _INLINE))})\b[^<>]*>", re.IGNORECASE
)
_RESIDUE_CHARACTERS = re.compile(r"[{}\[\]<]")


def strip_residue(text: str) -> str:
    """Remove the markup that the removal of other markup created: "[<b>[" leaves "[[", and "<b<b>>" leaves "<b>".

    After MAX_RESIDUE_DEPTH rounds (no real page needs so many), every bracket is removed.
    """
    for _ in range(MAX_RESIDUE_DEPTH):
        if not any(sign in text for sign in _RESIDUE_SIGNS):
            return text
        cleaned = _RESIDUE.sub("", text)
        if cleaned == text:
            return text
        text = cleaned
    return _RESIDUE_CHARACTERS.sub("", text)
