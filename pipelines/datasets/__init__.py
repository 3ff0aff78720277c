"""One file per dataset: what determines it, and how it is built."""
