"""From token shards to batches; NumPy only."""
