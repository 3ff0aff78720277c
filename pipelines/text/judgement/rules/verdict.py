"""The first published rule that each text breaks.

The rules are adapted to all scripts: pipelines.text.characters.counts defines words, lines and sentences. A rule made for one
kind of writing applies only to that kind: stop words to English, word lengths to alphabets written with spaces, sentence
marks to scripts that have them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.judgement.rules.c4 import c4
from pipelines.text.judgement.rules.fineweb import fineweb
from pipelines.text.judgement.rules.gopher import gopher, gopher_repetition
from pipelines.text.judgement.rules.measured import Rule, Texts

# The rule sets by their names in `[quality] rules`, in the order in which they judge. A new publisher needs a file here, a line
# in this table, and its reasons in pipelines.contract.reasons.
_RULES: dict[str, Callable[[Texts], Iterator[Rule]]] = {
    "c4": c4,
    "gopher": gopher,
    "gopher_repetition": gopher_repetition,
    "fineweb": fineweb,
}
RULE_SETS = tuple(_RULES)


def judge(texts: pa.Array, english: NDArray[np.bool_], rule_sets: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Return the first rule that each text breaks (a DropReason; null if it passes all) and the measured value (float32).

    The sets judge in the order of RULE_SETS, whatever the order in `rule_sets`.
    """
    measured = Texts(texts, english)
    first = np.full(len(texts), -1)
    values = np.zeros(len(texts))
    names: list[str] = []
    for name, rules in _RULES.items():
        for reason, broken, value in rules(measured) if name in rule_sets else ():
            is_first = broken & (first < 0)
            first[is_first] = len(names)
            values[is_first] = value[is_first]
            names.append(reason.value)
    indices = pa.array(first, pa.int32(), mask=first < 0)
    return pa.array(names, pa.string()).take(indices), pa.array(values, pa.float32(), mask=first < 0)
