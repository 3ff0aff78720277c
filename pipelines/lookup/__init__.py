"""A document of a published build by id, URL or origin."""
