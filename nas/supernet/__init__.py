"""The supernet: shared weights for every architecture of a space, how they are trained, and what reads them.

The network is in `supernet`, its pieces in `layers` and `blocks`. Weights are trained together with a policy (`joint`)
or alone (`sandwich`), for the lengths in `presets`; `evaluator` takes accuracies, `inherit` hands slices of them down.
"""
