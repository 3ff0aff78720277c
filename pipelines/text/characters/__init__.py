"""Characters, words and sentences: encodings, normalisation, counts, comparison."""
