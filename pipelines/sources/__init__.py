"""Sources of documents: each lists its units and reads a unit as a stream of batches."""
