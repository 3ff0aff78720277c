"""Names of people in what pages write around them: "By Ann Mill | 3 May 2024" is Ann Mill."""

import re
from collections.abc import Iterable, Iterator

from pipelines.text.extraction.pages.facts import calendar

MAX_CHARACTERS = 100  # of one name
MAX_WORDS = 6
MAX_NAMES = 20

# What comes before a name; the languages are those with most pages of news.
_LEAD = re.compile(
    r"(?:(?:this\s+)?(?:article|story|text|words|photos?|photography|interview|review|recipe|news|post|thread)?\s*(?:was|is)?\s*"
    r"(?:posted|published|written|authored|created|submitted|contributed|compiled|edited|reported|started|asked|op|recommended"
    r"|selected|insights|analysis|opinion|commentary|text|words|story|article|interview|review|photos?|post)\s+(?:by|from)\b"
    r"|by\b|from\s+the\s+desk\s+of\b|(?:about\s+the\s+)?authors?\b|author\(s\)|contributors?\b|writer\b|thread\s+starter\b"
    r"|von\b|autor(?:in|es|a)?\b|redaktion\b|par\b|auteur(?:e|s)?\b|por\b|di\b|door\b|af\b|av\b|från\b|автор(?:ы)?\b|текст\b"
    r"|(?:作者|記者|记者|文|图文|著者|執筆者|ライター|글|기자)(?=[\s:：/]))\s*[:：\-–—|/]?\s*",
    re.I,
)
_END = re.compile(
    r"[／〉].*|\s[|•·–—/]\s.*|\s-\s.*|[|•·©\[(*†‡].*|\s+on\s+(?=\w+\s+\d).*"
    r"|\s*\b(?:published|updated|posted|last|modified|reviewed|edited|says|in\s+[A-Z])\b.*"
    r"|[,\s]+(?:\d|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,).*",
    re.I | re.S,
)
_BETWEEN = re.compile(r"\s*(?:;|,?\s+(?:and|und|et|y|e|og|och|en|и)\s+|\s*&\s*|,\s*(?:and\s+)?|、|，)\s*")
_CREDENTIALS = re.compile(
    r"(?:[A-Z]\.?){2,6}|Ph\.?\s?D\.?s?|M\.?D\.?|Jr\.?|Sr\.?|I{2,3}|Esq\.?|MSc|BSc|R\.?N\.?|[A-Z]{2,}[a-z]?|LMFT|LCSW"
)
_PARTICLES = "de da di do dos das del della la le les van von der den ter ten bin ibn al el y e af zu zur und the of for"
_NOBODY = (
    "account admin administrator author authors editor editors guest anonymous unknown user username webmaster none null"
    " undefined staff home login log share menu comments comment reply follow advertisement contributor more read subscribe"
    " default root test sun mon tue wed thu fri sat sunday monday tuesday wednesday thursday friday saturday name email members"
    " member spotlight reviewer customer owner the a an my our new date op published updated posted category categories"
    " tags article news blog written by profile website january february march april jan feb mar apr jun jul aug sep sept"
    " oct nov dec may june july august september october november december google google+ has is was of and or in on at to"
    " from with facebook twitter youtube instagram linkedin wordpress"
)
_NOBODIES = (
    "sign in",
    "log in",
    "read more",
    "view all",
    "noc admin",
    "site admin",
    "super user",
    "super admin",
    "the author",
    "the editor",
    "about the author",
    "view more posts",
)
_NOBODY_SET, _PARTICLE_SET = frozenset((*_NOBODY.split(), *_NOBODIES)), frozenset(_PARTICLES.split())
_JOB = re.compile(
    r"\b(?:editor|writer|reporter|director|manager|head|chief|officer|ceo|cto|founder|senior|staff|contributor|columnist|specialist"
    r"|journalist|expert|professor|lecturer|president|analyst|engineer|correspondent|coordinator|consultant|strategist|team\s+lead"
    r"|university|department|candidate|assistant|associate|author\s+of|member|partner|producer|photographer|dietitian|nutritionist)\b",
    re.I,
)
_INVERTED = re.compile(r"([A-Z][\w'’-]+), ((?:[A-Z][\w'’-]*\.?)(?: [A-Z]\.?)*)")  # "Mill, Ann B."
_REPORTER = re.compile(r"(?:記者|记者)\s*([\u4e00-\u9fff]{2,4})(?=[／╱/\s\])】）、，。]|$)")  # "【聯合報╱記者張嘉芳】"
_COPYRIGHT = re.compile(r"^\s*©|©\s*\d{4}")
_LETTER = re.compile(r"[^\W\d_]")
_ADDRESS = re.compile(
    r"https?:|www\.|/|\.(?:html?|php)\b|@|[<>{}\[\]=\"#©]|\\|^(?:follow|about|more|view|see|meet|contact|show|top)\s", re.I
)
_SENTENCE = re.compile(r"\w{5,}[.!?]\s|[。？！“”《》]|[!?:…]$|[\u3040-\u30ff\u4e00-\u9fff]{13}")


def led(text: str) -> tuple[bool, str]:
    """Return whether a text begins with what comes before a name ("By"), and the rest."""
    rest, any_lead = text, False
    for _ in range(3):
        match = _LEAD.match(rest)
        if not match or (
            match.end() < len(rest)
            and match[0][-1].isalpha()
            and match[0].isascii()
            and rest[match.end()].isalpha()
            and rest[match.end()].islower()
        ):
            break
        any_lead, rest = True, rest[match.end() :]
    return any_lead, rest


def people(text: str) -> list[str]:
    """Return the names in a byline, without what comes before and after them; none if it is no list of names.

    >>> people("By Ann Mill, PhD, and Bo Brook | 3 May 2024")
    ['Ann Mill', 'Bo Brook']
    """
    text = " ".join(led(text.strip())[1].split())
    if _COPYRIGHT.search(text):
        return []
    reporter = _REPORTER.search(text)
    if reporter:
        return [reporter[1]]
    inverted = _INVERTED.fullmatch(text)
    if inverted:
        return [f"{inverted[2]} {inverted[1]}"]
    cut = _END.sub("", text).strip(" ,;:-–—|/·•*")
    found: list[str] = []
    for part in _BETWEEN.split(cut[:1000])[:MAX_NAMES]:
        name = led(part)[1].strip(" ,;:-–—|/·•*\"'“”")
        if _CREDENTIALS.fullmatch(name) and found:
            continue
        if is_name(name) and not (found and _JOB.search(name)):
            if _once(name) not in found:
                found.append(_once(name))
        elif found:
            break
        else:
            return []
    return found


def is_name(name: str) -> bool:
    """Return whether a text may be the name of a person, a group or a user."""
    words = name.split()
    if not 1 <= len(words) <= MAX_WORDS or len(name) > MAX_CHARACTERS or not _LETTER.search(name):
        return False
    if name.lower().rstrip(".") in _NOBODY_SET or _ADDRESS.search(name) or _SENTENCE.search(name):
        return False
    return len(words) == 1 or all(_begins_like_one(word) for word in words)


def _begins_like_one(word: str) -> bool:
    first = word.lstrip("(\"'“‘.")[:1]
    return not first.islower() or word.lower() in _PARTICLE_SET or "'" in word[:3] or "’" in word[:3]


def _once(name: str) -> str:
    """Return a name that is written twice ("Ann Mill Ann Mill") once."""
    words = name.split()
    half = len(words) // 2
    return " ".join(words[:half]) if half and len(words) % 2 == 0 and words[:half] == words[half:] else name


def of_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the names at the beginning of a byline that is cut into the texts of its elements."""
    is_first = True
    count = 0
    for piece in pieces:
        text = piece.strip()
        if is_first:
            text = led(text)[1].strip()
        if not text.strip(" ,;:-–—|/·•&"):
            continue
        if text.lower() in ("and", "und", "et", "&") or (is_first and len(text) <= 2 and text.isascii() and text.isupper()):
            continue  # the letters replace a picture of the author
        if is_first and len(text) < MAX_CHARACTERS and any(calendar.dates(text)):
            continue
        found = people(text)
        if not found:
            return
        is_first = False
        for name in found:
            count += 1
            yield name
        if count >= MAX_NAMES or not text.rstrip().endswith((",", "and", "&")):
            # What follows is another name only if something joins it.
            return
