"""Texts of web pages, measured and judged, for the benchmarks of rules."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.rule_thresholds import ENGLISH_STOP_WORDS
from pipelines.text.judgement import datatrove_words
from pipelines.text.judgement.measures import measure
from pipelines.text.judgement.rules.verdict import Thresholds, judge
from pipelines.text.judgement.words import WordLists

STOP_LISTS, NO_LISTS = WordLists.of({"en": ENGLISH_STOP_WORDS}), WordLists.of({})


def extracted(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the documents that `corpusmill extract` finds in files of web pages."""
    command = [str(Path(sys.executable).parent / "corpusmill"), "extract", *map(str, files)]
    lines = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    return [row for row in map(json.loads, lines) if row.get("text")]


def measured(texts: Sequence[str], languages: Sequence[str | None], tokens: str = "corpusmill") -> pa.StructArray:
    """Return the measures of texts, by our words or datatrove's."""
    column = pa.array(texts, pa.string())
    measures = measure(column, pa.array(languages, pa.string()), STOP_LISTS, NO_LISTS)
    return datatrove_words.replaced(measures, column, ENGLISH_STOP_WORDS) if tokens == "datatrove" else measures


def reasons(measures: pa.StructArray, thresholds: Thresholds) -> list[str | None]:
    """Return the first rule that each text breaks."""
    return judge(measures, thresholds)[0].to_pylist()


def dropped(measures: pa.StructArray, thresholds: Thresholds) -> NDArray[np.bool_]:
    """Return which texts break a rule."""
    return np.array([reason is not None for reason in reasons(measures, thresholds)], np.bool_)
