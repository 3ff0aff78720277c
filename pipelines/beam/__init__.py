"""The only files that import apache_beam."""
