"""What lies in a run folder, read and written: results, journal, locks, and the networks that a name or path stands for."""
