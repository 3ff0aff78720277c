"""The page of a built corpus: its funnel, its thresholds, its documents, and another build beside it."""
