"""The supernet: shared weights for every architecture of a space, and what can be done with them."""
