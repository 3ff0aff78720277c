"""The page rules that others have published, a file a publisher."""
