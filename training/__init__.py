"""Pretraining on token shards with PyTorch."""
