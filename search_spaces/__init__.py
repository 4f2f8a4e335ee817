"""Search spaces: one file each, pure data, the paper in its first line."""
