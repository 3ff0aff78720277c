"""What stands around a number: words that say what it is, and signs that say that it is part of something else."""

import re

from pipelines.text.judgement.private.windows import Window
from pipelines.text.judgement.private.words import words

SPACES, HYPHENS = r" \u00a0\u202f", r"\-\u2010-\u2013"
"""Separators in numbers, for a class of characters: spaces within a line, hyphens and the dashes written in their place."""

LETTERS = r"A-Za-z0-9_\u00aa-\u0dff"
"""Letters and digits that belong to a word beside them, for a class: those of scripts written without spaces do not."""

OF_THINGS = words(
    "grant grants aktenzeichen az dossier catalog* product* item* order* invoice* tracking serial part parts model sku",
    "catalog* ref reference ticket issue case bug page version",
    "produkt* artikel* bestell* rechnung* commande article* produit* factura",
    "pedido producto prodotto ordine ebay asin epid vin imei",
)
"""Words before numbers of things."""

# Before or after a number: a part of a name, a path, a fraction, a sum of money.
_GLUED_BEFORE = re.compile(rf"(?:[{LETTERS}/\\&$€£¥₹%@~^*]|[.,:]\d*|\d[-–]|[$€£¥₹] |#|[-–=<>]|=\s?)\Z")
_GLUED_AFTER = re.compile(rf"[{LETTERS}/\\$€£¥₹%°@~^*=]|[.,:-]\d|[-–][{LETTERS}]| ?(?:%|€|£|¥|USD|EUR|km|kg|mm|cm|MB|GB|bytes)\b")


def is_glued(window: Window, start: int, end: int) -> bool:
    """Return whether text[start:end] is a part of a longer name, path, fraction or sum."""
    return bool(_GLUED_BEFORE.search(window.text, max(0, start - 6), start) or _GLUED_AFTER.match(window.text, end))


def in_address(window: Window, start: int) -> bool:
    """Return whether text[start] is in a web address or a path."""
    token = window.text[:start].rsplit(None, 1)[-1] if start and not window.text[start - 1].isspace() else ""
    return "://" in token or "www." in token or token.count("/") > 1 or "?" in token
