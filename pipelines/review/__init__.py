"""What a build kept and lost, from its columns: counts, a sample, examples, and thresholds tried without a build."""
