"""Tokenizers: loaded as a manifest describes them, or from the files of other projects."""
