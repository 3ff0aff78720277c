"""What both ways of deduplication share."""

import numpy as np

from pipelines.clustering.removals import has_new


def test_components_of_published_documents_only_are_left_out():
    """Ranks 0 to 4 are published: 0-1 is theirs alone, 2-7 has a new document, 5-6 is new."""
    nodes = np.array([0, 1, 2, 5, 6, 7], np.uint32)
    components = np.array([0, 0, 2, 5, 5, 2], np.uint32)
    assert has_new(nodes, components, 5).tolist() == [False, False, True, True, True, True]
    assert has_new(nodes, components, 0).all()
    assert not len(has_new(nodes[:0], components[:0], 5))
