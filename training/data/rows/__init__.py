"""Rows: which tokens a model sees together."""
