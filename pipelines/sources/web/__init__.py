"""Web archives: WARC and WET files."""
