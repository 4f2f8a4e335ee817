"""Training of one network alone: loop, compiled step, optimizers, checkpoints, candidates halved."""
