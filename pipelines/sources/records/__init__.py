"""Records: JSON Lines and Parquet."""
