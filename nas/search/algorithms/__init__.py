"""Search algorithms, each a pure `init`, `ask`, `tell` of one file."""
