"""What keeps a model near what it knew while it learns new text."""
