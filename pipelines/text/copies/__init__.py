"""Copies: signatures, similarity, clusters; repeats, containment and cuts."""
