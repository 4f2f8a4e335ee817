"""A commented target file to start from: what `nas targets --template` prints, and `--check` accepts."""

TEMPLATE = """\
# A device of your own. Write this to mydevice.toml, change every value, and see what it means:
#     nas targets --check mydevice.toml
#     nas search --target ./mydevice.toml
# Every value says where it comes from (source) and how far to trust it (confidence): measured, fitted, published,
# vendor or estimated. If you can measure a dozen networks on the device, nas calibrate writes this file for you, with
# its error.

unit = "MyChip NPU, one core, 800 MHz"  # what runs the network
dtype = "int8"  # int8, fp16 or fp32: of weights and activations
runtime = "TensorFlow Lite"  # optional
threads = "1"  # optional
search_words = ["mychip", "npu"]  # optional: what finds it in nas targets WORD, where it is part of the package

# Multiply-accumulates per second, in 10^9. From a data sheet: TOPS x 1000 / 2, or MACs per cycle x clock.
[peak_gmacs_per_s]
value = 409.6
source = "512 MACs a cycle x 800 MHz, data sheet page 3"
confidence = "vendor"

# Bytes per second between the processor and the memory that holds maps and weights, in 10^9.
[bandwidth_gb_per_s]
value = 8
source = "LPDDR4, one channel, data sheet page 5"
confidence = "vendor"

[bytes_per_weight]
value = 1
source = "int8"
confidence = "vendor"

[bytes_per_activation]
value = 1
source = "int8"
confidence = "vendor"

# All that follows is optional.

# Time before the first kernel, once per image, in ms: a driver, USB, a delegate.
[floor_ms]
value = 0.2
source = "a network of one layer, measured"
confidence = "measured"

# Time that every kernel takes beside its work, in microseconds.
[time_per_kernel_us]
value = 2
source = "slope over networks of 10 to 50 equal layers, measured"
confidence = "measured"

# Memory on the chip, in KiB.
[onchip_kb]
value = 2048
source = "data sheet page 4"
confidence = "vendor"

# Kernels of a kind that reach another share of the peak: conv, pointwise, depthwise, dense, matmul, pool, elementwise.
# Without this, a depthwise convolution is as fast per multiply-accumulate as a 1x1 convolution.
[kind_efficiency]
depthwise = { value = 0.2, source = "two layers of equal MACs, measured", confidence = "measured" }

# How far the latencies are off, in percent, on networks that nothing was fitted to. Leave it out where you do not know:
# latencies then say that they are a lower bound (computed), or that their error is not known (fitted).
# [error]
# mape_percent = 12.0
# interval_90_percent = 25.0
# networks = 8
# of = "networks of our own"
# source = "measured on the board, 2025"

# What the runtime does not run; a search leaves it out.
# [[unsupported]]
# act = "gelu"
# falls_back = true
# source = "the compiler's manual, table of operators"

# For nas search --max-energy-mj, all three.
# [energy]
# power_w = { value = 0.4, source = "idle, measured", confidence = "measured" }
# pj_per_mac = { value = 2.1, source = "measured", confidence = "measured" }
# pj_per_byte = { value = 12.0, source = "measured", confidence = "measured" }
"""
