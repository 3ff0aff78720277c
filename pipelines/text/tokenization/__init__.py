"""Train vocabularies, report on them, and encode with them."""
