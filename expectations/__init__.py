"""Great Expectations suites and the gate; the only place that imports great_expectations."""
