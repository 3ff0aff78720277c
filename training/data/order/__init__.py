"""The order of rows: sampler and mixture."""
