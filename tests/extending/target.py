"""The same device as a Python value: `--target tests.extending.target:CHIP`."""

from latency_models.sourced_values import SourcedValue
from latency_models.target import Target

CHIP = Target(
    name="mychip",
    unit="MyChip NPU, one core",
    dtype="int8",
    peak_gmacs_per_s=SourcedValue(500.0, "data sheet, page 3: 1 TOPS int8", "vendor"),
    bandwidth_gb_per_s=SourcedValue(8.0, "data sheet, page 5: LPDDR4, one channel", "vendor"),
    bytes_per_weight=SourcedValue(1.0, "int8", "vendor"),
    bytes_per_activation=SourcedValue(1.0, "int8", "vendor"),
)
