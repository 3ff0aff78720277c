"""Copies of texts: signatures, similarity and clusters; repeats, containment and cuts."""
