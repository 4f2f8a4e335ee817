"""int8 networks: calibration, the fake-quantised forward pass, sensitivity per layer, and what stays in floats."""
