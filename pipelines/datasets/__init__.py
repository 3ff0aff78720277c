"""One file a dataset: what determines it, and how it is built."""
