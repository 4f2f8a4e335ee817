"""The parts of predict.py, which lies beside an exported model and needs nothing of this package."""
