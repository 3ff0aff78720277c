"""The folder `release/` of a build: the published texts with a dataset card and Croissant metadata; imports only the contract."""
