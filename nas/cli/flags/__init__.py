"""The flags of each command, one module per command; nothing here imports the engine, so that --help answers at once.

A module has `DESCRIPTION` and `EXAMPLE` (a command line that works) for --help, and `add_flags(parser)`. Where flags
can contradict each other it has a function that refuses them, which `add_flags` leaves in the namespace as `check`.
"""
