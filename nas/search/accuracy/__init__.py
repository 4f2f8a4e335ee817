"""Accuracy models: what predicts, from a few trained networks, which others are worth training."""
