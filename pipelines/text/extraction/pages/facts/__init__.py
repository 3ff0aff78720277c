"""What a page says of itself: one file a fact."""
