"""Several processes that train one model: joined, watched, and of one mind about where they begin."""
