"""A finder for each type of private data: what an anchor is the beginning, the middle or the mark of."""
