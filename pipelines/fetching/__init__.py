"""Downloads with resume and checksums."""
