"""Where documents come from: each source lists its units and reads a unit as a stream of batches."""
