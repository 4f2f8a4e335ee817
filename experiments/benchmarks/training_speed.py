"""Benchmark: images a second of `nas train`'s steps against PyTorch, eager and compiled, on three networks.

    python -m experiments.benchmarks.training_speed [--threads N] [--rounds 5] [--no-compile] [--processor-time]

Ours is the program of `nas.training.step.train_step` as trainings run it: images on the device as bytes, several steps
in one call. PyTorch runs the same networks, batches, loss and optimizer (`torch_peer`): in eager mode, and through
`torch.compile` where torch and a C++ compiler are at hand. Neither augments images or averages weights. All are
measured in turn in one process, so that other load affects all alike; printed are images a second of the median round,
and what the first call took beyond that.

2 cores without other work, while other work on the host slowed their memory to 20 of 50 GB/s (jax 0.10.2, torch
2.14.1): proxy of MobileNetV4-Conv-S (width 0.25, 32 px), Conv-S at 96 px and Conv-M (0.5, 64 px). One thread, by
processor time, 9 rounds: ours 851, 54 and 95 images a second, PyTorch eager 708, 45 and 92, so it takes 1.20, 1.20 and
1.03 of our time. Half an hour later, 5 rounds: 1.22, 1.21 and 1.11; half an hour before, 7 rounds: 668, 40 and 76
against 575, 45 and 71: 1.16, .90 and 1.07.

On a host with AVX2 and no AVX-512, 3 rounds, torch.compile in the same run: ours 652, 41 and 73, PyTorch eager 435, 38
and 53 (1.50, 1.09 and 1.38 of our time), torch.compile 448, 35 and 51 (1.46, 1.18 and 1.42).

Before convolutions and batch normalisation were what nas.nn.primitives has now, on a quiet machine: ours 791, 53 and
96, PyTorch eager 868, 58 and 103 (.91, .92 and .93); two threads, on the clock, 5 rounds: ours 1,009, 75 and 147,
PyTorch 881, 85 and 156. Timed in turns with those, today's steps take .81, .86 and .86 of the time. torch.compile, one
thread, partly beside other work: 788, 55 and 89 where ours had 730, 49 and 91 and eager 847, 57 and 98, after compiling
for 25, 40 and 66 s (ours: 16, 15 and 28).
"""

import argparse
import shutil
import time
from functools import partial

import jax
import numpy as np

from experiments.benchmarks.supernet import Run, StaticRun, make_setting
from experiments.benchmarks.timing import interleaved, print_table, use_threads
from nas.space.scaling import scale_down
from nas.training.devices import compute_dtype
from nas.training.optimizers import AdamW
from nas.zoo import reference

try:
    import torch  # type: ignore[import-not-found,unused-ignore]

    from experiments.benchmarks.torch_peer import Peer
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

NETWORKS = (("mobilenetv4-conv-s", 0.25, 32, 64), ("mobilenetv4-conv-s", 1.0, 96, 32),
            ("mobilenetv4-conv-m", 0.5, 64, 32))  # name, width, px, batch  # fmt: skip
CHIP = "edgetpu"  # of the plan, which gives optimizer and loss; no cost is priced


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, help="cores to use (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="in one call")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile too")
    parser.add_argument("--processor-time", action="store_true", help="in place of wall time; use with --threads 1")
    options = parser.parse_args()
    threads = use_threads(options.threads)
    jax.config.update("jax_enable_compilation_cache", False)
    compiles = options.compile and torch is not None and shutil.which("g++") is not None
    print(f"{jax.devices()[0].device_kind}, {threads} threads, {compute_dtype()}; jax {jax.__version__}, "
          f"{'no torch here: no peer' if torch is None else f'torch {torch.__version__}'}")  # fmt: skip
    if torch is not None:
        torch.set_num_threads(threads)
    runs: dict[str, Run] = {}
    for number, (name, width, resolution, batch) in enumerate(NETWORKS):
        setting = make_setting(
            argparse.Namespace(space="uib", chip=CHIP, resolution=resolution, width=width, batch=batch,
                               steps=options.steps, genotypes=1, averages=False)
        )  # fmt: skip
        arch = scale_down(reference(name, num_classes=setting.plan.space.num_classes), resolution, width)
        runs[f"ours {number}"] = StaticRun(setting, arch).train
        if torch is None:
            continue
        optimizer = setting.plan.preset.optimizer
        assert isinstance(optimizer, AdamW)
        numbers = setting.plan.preset.label_smoothing, optimizer.learning_rate, optimizer.weight_decay
        x, y = np.asarray(setting.images.x_train), np.asarray(setting.images.y_train)
        accelerator = jax.default_backend() != "cpu"
        runs[f"PyTorch eager {number}"] = partial(Peer(arch, x, y, *numbers, accelerator).train, setting.rows)
        if compiles:
            peer = Peer(arch, x, y, *numbers, accelerator)
            peer.model = torch.compile(peer.model)
            runs[f"torch.compile {number}"] = partial(peer.train, setting.rows)
    clock = time.process_time if options.processor_time else time.perf_counter
    times = interleaved(runs, options.rounds, clock)
    rows = []
    for number, (name, width, resolution, batch) in enumerate(NETWORKS):
        ours = times[f"ours {number}"].median_s
        for method in ("ours", "PyTorch eager", "torch.compile"):
            if f"{method} {number}" in times:
                one = times[f"{method} {number}"]
                rate = options.steps * batch / one.median_s
                title = f"{name}, width {width:g}, {resolution} px, batch {batch}" if method == "ours" else ""
                rows.append([title, method, f"{rate:,.0f}", f"{one.median_s / ours:.2f}", f"{one.compile_s:.1f}"])
    print_table(["network", "method", "images/s", "time / ours", "compile s"], rows)


if __name__ == "__main__":
    main()
