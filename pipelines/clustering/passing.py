"""Which documents pass the filters, as far as their columns show: the better survivors of deduplication.

The verdict is found here and not with the signatures, because it depends on thresholds and they do not.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tables import read_batches
from pipelines.stages.judgement.rules import Judgement


def passing(documents_uri: str, source: str, judgement: Judgement) -> NDArray[np.bool_]:
    """Return whether each document of a part passes, in the order of the part."""
    found = [
        judgement.passes(batch, source).to_numpy(zero_copy_only=False) for batch in read_batches(documents_uri, judgement.columns)
    ]
    return np.concatenate([np.empty(0, np.bool_), *found])
