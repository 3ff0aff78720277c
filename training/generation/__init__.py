"""Generation: texts that the models write or complete."""
