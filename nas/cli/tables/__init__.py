"""Results as rich tables for the terminal, one module per command or kind of result."""
