"""Croissant 1.0 metadata of a published corpus (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), as JSON-LD.

Every part is a FileObject with its sha256, so that a loader can verify it; all columns but the nested ones are fields.

Limits: there is no datePublished, which only a clock would know.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines.contract.manifest import FINGERPRINT_CHARACTERS
from pipelines.contract.schema import DOCUMENTS
from pipelines.exports.release.card import DOCUMENTS as PATTERN
from pipelines.exports.release.card import languages
from pipelines.exports.release.facts import Facts, program_version

_CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_RAI = "http://mlcommons.org/croissant/RAI/1.0"
_TERMS = (
    *(
        "citeAs",
        "column",
        "data",
        "dataType",
        "equivalentProperty",
        "examples",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
    ),
    *(
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
    ),
    *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_TYPED: dict[str, str] = {"data": "@json", "dataType": "@vocab", "examples": "@json"}
_SPDX = "https://spdx.org/licenses/"
_PARQUET = "application/x-parquet"


def croissant(facts: Facts) -> str:
    """Return croissant.json."""
    short = facts.corpus.fingerprint[:FINGERPRINT_CHARACTERS]
    value = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": [_CONFORMS_TO, _RAI],
        "name": facts.name,
        "description": f"{facts.counts.total:,} documents for pretraining, made by corpusmill; README.md says how.",
        "version": f"1.0.0+{short}",
        "license": [_license(name) for name in facts.counts.by("license")] or ["unknown"],
        "inLanguage": languages(facts),
        "citeAs": f"{facts.name}, text corpus {short}, made by corpusmill {program_version()}",
        "keywords": ["text", "pretraining", "corpusmill"],
        "rai:dataCollection": "; ".join(f"{s['name']}: {s['kind']}, {s['snapshot']}" for s in facts.config["sources"]),
        "rai:personalSensitiveInformation": "Patterns find it, as README.md says; what has no pattern stays.",
        "distribution": list(_distribution(facts)),
        "recordSet": [_records()],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _context() -> dict[str, Any]:
    terms = {name: {"@id": f"cr:{name}", "@type": _TYPED[name]} if name in _TYPED else f"cr:{name}" for name in _TERMS}
    spaces = {"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/"}
    return {
        **spaces,
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
        **terms,
    }


def _license(name: str | None) -> str:
    is_spdx = name and not name.startswith("LicenseRef-") and " " not in name and ":" not in name
    return f"{_SPDX}{name}.html" if is_spdx else name or "unknown"


def _distribution(facts: Facts) -> Iterator[dict[str, Any]]:
    for part in facts.corpus.of("documents"):
        yield {
            "@type": "cr:FileObject",
            "@id": part.path,
            "name": part.path,
            "contentUrl": part.path,
            "contentSize": f"{part.bytes} B",
            "sha256": part.sha256,
            "encodingFormat": _PARQUET,
        }
    yield {
        "@type": "cr:FileSet",
        "@id": "parts",
        "name": "parts",
        "description": "All parts; together they hold every document once.",
        "encodingFormat": _PARQUET,
        "includes": PATTERN,
    }


def _records() -> dict[str, Any]:
    fields = [_field(field) for field in DOCUMENTS if not pa.types.is_nested(field.type)]
    return {"@type": "cr:RecordSet", "@id": "documents", "name": "documents", "key": {"@id": "documents/id"}, "field": fields}


def _field(field: pa.Field) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"documents/{field.name}",
        "name": field.name,
        "dataType": "sc:Float" if pa.types.is_floating(field.type) else "sc:Text",
        "source": {"fileSet": {"@id": "parts"}, "extract": {"column": field.name}},
    }
