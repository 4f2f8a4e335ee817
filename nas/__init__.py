"""Hardware-aware neural architecture search for on-device networks."""
