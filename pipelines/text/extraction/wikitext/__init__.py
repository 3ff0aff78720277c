"""Wikitext to plain prose."""
