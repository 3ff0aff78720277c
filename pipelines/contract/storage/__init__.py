"""Where bytes lie: files on disk and object stores, read in ranges, decompressed, listed, cached."""
