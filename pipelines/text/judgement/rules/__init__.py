"""The page rules that others have published, one file per publisher."""
