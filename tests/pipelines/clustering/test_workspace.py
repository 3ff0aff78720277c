"""What fits one process, and how the rest is cut up."""

import doctest

from pipelines.clustering import workspace
from pipelines.clustering.workspace import fits, ranges_needed, workspace_for
from pipelines.config import DeduplicateSection
from pipelines.units import spill


def test_documented_examples():
    assert doctest.testmod(workspace).failed == 0
    assert doctest.testmod(spill).failed == 0


def test_counted_edges_decide():
    section = DeduplicateSection(memory_mib=64)
    assert fits(200_000, section)
    assert not fits(200_000, section, edges=500_000)
    assert fits(400_000, section, edges=300_000)
    assert not fits(600_000, section, edges=0)


def test_parts_follow_from_documents_and_budget():
    section = DeduplicateSection()
    large = workspace_for(section, "spill", 10**8, 0, 50 * 10**9, 2**31)
    assert (large.bytes_per_document, large.segments, large.ranges) == (500, 56, 96)
    small = workspace_for(section, "spill", 0, 0, 0, 2**31)
    assert (small.segments, small.ranges) == (1, 1)
    assert [ranges_needed(10, 5), ranges_needed(11, 5), ranges_needed(0, 5)] == [2, 3, 1]
