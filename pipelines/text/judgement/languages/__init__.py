"""The language of a text: what a model says of its passages, and what follows for the whole."""
