"""Other projects' file formats, read without their libraries."""
