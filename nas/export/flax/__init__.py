"""Export as a folder with a stand-alone Flax model."""
