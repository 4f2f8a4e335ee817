"""Whole searches as run folders: settings, plan, stages, candidate re-training, front, results, listing."""
