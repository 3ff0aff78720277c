"""Serving: models answer many clients at once, each as if it were alone."""
