"""Vocabularies: training them, reporting on them, encoding with them."""
