"""What the detectors of private data find in one text."""

from typing import Any

import pyarrow as pa

from pipelines.text.judgement.private.find import find
from pipelines.text.judgement.private.findings import TYPES


def found_in(text: str, language: str | None = None, **options: Any) -> list[tuple[str, str]]:
    """Return type and text of each occurrence."""
    found = find(pa.array([text]), languages=pa.array([language], pa.string()), **options)
    data = text.encode()
    spans = zip(found.types.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True)
    return [(TYPES[code].value, data[start:end].decode()) for code, start, end in spans]
