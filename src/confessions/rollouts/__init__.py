"""A conversation of two turns: how it is sampled and which tokens belong to which span. Nothing here judges it."""
