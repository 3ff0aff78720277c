"""Tokens after tokens: what the models make of a prompt."""
