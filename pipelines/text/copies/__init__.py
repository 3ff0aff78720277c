"""Copies of texts: signatures, similarity and clusters; repeats, items of benchmarks and cuts."""
