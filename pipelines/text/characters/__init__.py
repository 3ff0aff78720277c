"""Characters, words and sentences: encodings, normalisation, counts, how texts are compared."""
