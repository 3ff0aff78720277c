"""Commands that build a corpus and look into it."""
