"""Find documents of a published build by id, URL or origin."""
