"""Hard bounds and the latency constraint: sampling inside them, repair, projection onto them."""
