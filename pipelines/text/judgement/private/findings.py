"""The types of private data, and what is known of an occurrence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class PrivateType(StrEnum):
    """What an occurrence is. Of two equal spans the type that comes first here is kept."""

    SECRET = "secret"  # keys and tokens of services, private keys, passwords in addresses
    IBAN = "iban"
    CARD = "card"  # numbers of payment cards
    NATIONAL_ID = "national_id"  # numbers of persons: identity, tax, social insurance
    EMAIL = "email"
    IP = "ip"
    PHONE = "phone"
    COORDINATES = "coordinates"  # a latitude with a longitude
    URL = "url"
    PERSON = "person"  # a name, which a model has found


TYPES = tuple(PrivateType)
TOKENS = {kind: f"<{kind.value.upper()}>" for kind in TYPES}  # what an occurrence is replaced by; BigCode writes <EMAIL>, too


def tokens_with(others: Mapping[PrivateType, str]) -> list[str]:
    """Return the token of each type, in the order of TYPES: TOKENS unless `others` has one."""
    return [others.get(type_, TOKENS[type_]) for type_ in TYPES]


@dataclass(frozen=True, slots=True)
class Findings:
    """Occurrences in texts, sorted by row and place; spans of one row do not overlap."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]  # bytes from the start of the text
    ends: NDArray[np.int64]
    types: NDArray[np.uint8]  # index into TYPES
    kinds: pa.Array  # strings: what exactly it is, such as "pl_pesel" or "github_token"

    def __len__(self) -> int:
        return len(self.rows)
