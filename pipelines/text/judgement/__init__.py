"""Language, page rules, repetition and the quality classifier."""
