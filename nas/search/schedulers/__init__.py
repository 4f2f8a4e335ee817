"""Which trainings go on and which stop early: successive halving, extrapolated learning curves."""
