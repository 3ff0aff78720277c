"""Checkpoints on disk, and the models in them."""
