"""Tokenizers, loaded by the manifest that describes them."""
