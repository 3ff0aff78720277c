"""How clusters of copies are found: candidates by band hashes, verified pairs, components, survivors."""
