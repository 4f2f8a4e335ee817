"""Export as a StableHLO file."""
