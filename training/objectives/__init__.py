"""What a family is trained to predict; NumPy and numba, no torch."""
