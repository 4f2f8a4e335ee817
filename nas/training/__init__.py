"""Training of one network alone, and of candidates beside each other.

`loop` is a whole training with its files, `step` the compiled programs that it runs, `trial` a training to any epoch,
measured after each, `candidates` many of those under successive halving. The rest they share with the supernet:
`optimizers`, `ema`, `loss`, `devices`, `checkpoints`.
"""
