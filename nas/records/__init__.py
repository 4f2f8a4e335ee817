"""Files of a run folder, read and written: results, journal, lock, and the networks that a name or path stands for."""
