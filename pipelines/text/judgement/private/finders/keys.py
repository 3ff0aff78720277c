"""Secrets: keys and tokens of services, by their prefixes; private keys; long random values that are assigned to a secret's name.

The prefixes are those that the services document for scanners. gitleaks and detect-secrets know the same ones and many more.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window

TOKEN_REACH = (80, 4)
BLOCK_REACH = (16, 16_384)
LONGEST = 4096  # characters of a token that are searched: a longer one is data

_SERVICES = {
    "aws_access_key": r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}",
    "github_token": r"(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{50,255}",
    "gitlab_token": r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|oas)-[A-Za-z0-9_-]{20,100}",
    "slack_token": r"xox[abeoprs]-(?:[A-Za-z0-9]+-){1,5}[A-Za-z0-9]{6,64}|xapp-\d-[A-Z0-9]+-\d+-[a-f0-9]+",
    "slack_webhook": r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/+]{40,80}",
    "google_key": r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,500}|GOCSPX-[A-Za-z0-9_-]{28}",
    "stripe_key": r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[A-Za-z0-9+/=]{32,64}",
    "openai_key": r"sk-(?:proj|svcacct|admin|ant-[a-z0-9]+|or-v1)-[A-Za-z0-9_-]{20,250}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"
    r"|sk-[A-Za-z0-9]{48}",
    "hugging_face_token": r"hf_[A-Za-z0-9]{30,40}|api_org_[A-Za-z0-9]{34}",
    "npm_token": r"npm_[A-Za-z0-9]{36}",
    "pypi_token": r"pypi-AgE[A-Za-z0-9_-]{50,1000}",
    "rubygems_key": r"rubygems_[a-f0-9]{48}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
    "twilio_key": r"(?:SK|AC)[0-9a-f]{32}",
    "mailgun_key": r"key-[0-9a-zA-Z]{32}",
    "mailchimp_key": r"[0-9a-f]{32}-us\d{1,2}",
    "shopify_token": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "square_token": r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}|EAAA[A-Za-z0-9_-]{60}",
    "digitalocean_token": r"do[opr]_v1_[a-f0-9]{64}",
    "databricks_token": r"dapi[a-f0-9]{32}",
    "azure_key": r"(?<=AccountKey=)[A-Za-z0-9+/]{86}==",
    "facebook_token": r"EAACEdEose0cBA[A-Za-z0-9]+|EAA[A-Za-z0-9]{90,300}",
    "telegram_token": r"(?<![\w:])AA[A-Za-z0-9_-]{33}(?![\w-])",
    "discord_token": r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
    "new_relic_key": r"NRAK-[A-Z0-9]{27}",
    "linear_key": r"lin_api_[A-Za-z0-9]{40}",
    "notion_token": r"ntn_[A-Za-z0-9]{40,60}",
    "postman_key": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "age_key": r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
    "vault_token": r"hvs\.[A-Za-z0-9_-]{24,200}",
    "alibaba_key": r"LTAI[A-Za-z0-9]{16,24}",
    "jwt": r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,3000}\.[A-Za-z0-9_-]{10,1000}",
}
_SERVICE = re.compile(
    r"(?<![A-Za-z0-9])(?:" + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _SERVICES.items()) + r")(?![A-Za-z0-9])"
)
_BLOCK = re.compile(
    r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----(?:.*?-----END \1-----|[A-Za-z0-9+/=\s\\:,-]{32,})", re.DOTALL
)
# A value is assigned to such a name: `api_key = "…"`, `"secret": "…"`, `Authorization: Bearer …`.
_NAME = re.compile(
    r"(?:api[_-]?key|apikey|secret|token|passwd|password|passphrase|pwd|credentials?|private[_-]?key|access[_-]?key|auth[_-]?key|"
    r"encryption[_-]?key|signing[_-]?key|client[_-]?secret|connection[_-]?string)"
    r"[\w-]{0,16}[\"'\])]{0,2}[ \t]{0,2}(?::=|=>|=|:|\bis\b)[ \t]{0,2}"
    r"[\"'`]?\Z|\b(?:bearer|basic|token)\s\Z",
    re.IGNORECASE,
)
_BEFORE_VALUES = ("=", ":", ">", "is", "bearer", "basic", "token")
_NO_SECRET = re.compile(
    r"(?:public[_-]?key|continuation|request|next|pag(?:e|ing|ination)|csrf|sync|idempotency|resume|cancellation)[_-]?token\W{0,6}\Z",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[A-Za-z0-9_\-+/=.]+")
_PLACEHOLDER = re.compile(r"example|your|xxxx|placeholder|changeme|dummy|sample|foo|bar|test|1234567|abcdef", re.IGNORECASE)
_LEAST_ENTROPY = 3.5  # bits a character; detect-secrets: 4.5 for base 64 and 3.0 for hexadecimal digits, whatever the name
_LEAST_VALUE, _LONGEST_VALUE = 16, 512


def keys(window: Window) -> Iterator[Found]:
    """Yield the secrets in a TOKEN."""
    value = window.text[window.at : min(window.stop, window.at + LONGEST)]
    found = False
    for match in _SERVICE.finditer(value):
        found = True
        yield Found(PrivateType.SECRET, str(match.lastgroup), window.at + match.start(), window.at + match.end())
    if not found:
        yield from _assigned(window, value)


def _assigned(window: Window, value: str) -> Iterator[Found]:
    """Yield a random value after a secret's name, which may be in the token ("token=…") or before it."""
    start = window.at + max(value.rfind("=", 0, len(value.rstrip("="))) + 1, 0)
    before = window.text[max(0, start - 60) : start]
    if not before.rstrip("\"'` \t").lower().endswith(_BEFORE_VALUES):  # most tokens are names
        return
    match = _VALUE.match(window.text, start, window.stop)
    if match is None or not _LEAST_VALUE <= len(match[0]) <= _LONGEST_VALUE or not _is_random(match[0]):
        return
    is_call = window.text[match.end() : match.end() + 1] == "("
    if not is_call and _NAME.search(before) and not _NO_SECRET.search(before):
        yield Found(PrivateType.SECRET, "assigned_secret", start, match.end())


def _is_random(value: str) -> bool:
    """Return whether a value is no word, path, name or placeholder."""
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    if (
        _PLACEHOLDER.search(value)
        or digits < 2
        or letters < 2
        or value.startswith(("/", "."))
        or value.count(".") > 2
        or value.count("/") > 4
    ):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    is_hexadecimal = set(value) <= set("0123456789abcdefABCDEF-")
    return entropy >= (3.0 if is_hexadecimal else _LEAST_ENTROPY)


def key_blocks(window: Window) -> Iterator[Found]:
    """Yield the private key that begins at a KEY_BLOCK; of one without an end, its first lines."""
    match = _BLOCK.match(window.text, max(0, window.at - 5))
    if match:
        yield Found(PrivateType.SECRET, "private_key", *match.span())
