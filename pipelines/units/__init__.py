"""Units of work, their parts and temporary columns, and the context of a build."""
