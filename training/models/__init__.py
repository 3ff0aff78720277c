"""The model families and the blocks that they share."""
