"""Benchmark: what the command line sets for its process, against the same commands without it.

    python -m experiments.benchmarks.command_settings

    kept programs   `nas train` of a proxy on digits for one epoch: nothing kept, then with an empty folder of programs
                    (the first run), then with what that kept (the second); weights of all three must be the same bytes
    BLAS threads    `nas calibrate` of a table of 40 networks, with one thread and with as many as there are cores,
                    alone and with two at the same time, as beside other work
    collector       tracing the step of a small supernet, with Python's thresholds and with those of the command line,
                    in turns

Seconds are wall and processor seconds of whole commands; of tracing, processor seconds.

So far, 2 cores without other work: the training took 29.0 processor seconds with nothing kept, 27.8 the first and 11.3
the second time (20.7, 19.8 and 9.7 s), the same bytes; a calibration 4.3 s with one thread, 5.8 with two, two at the
same time 4.5 and 14.8; tracing .84 of the time.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latency_models.target import load_target
from nas.arch import save_arch
from nas.cli import GC_THRESHOLDS
from nas.cli.compilation_cache import FOLDER_VARIABLE
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.evaluator import SearchImages
from nas.supernet.sandwich import SandwichTraining, compile_steps

NETWORKS, NOISE = 40, 0.03
TURNS = 4


def timed(commands: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return wall and processor seconds of commands of `nas` that run at the same time in `folder`."""
    root = Path(__file__).parents[2]
    before, start = os.times(), time.monotonic()
    env = os.environ | {"PYTHONPATH": str(root), **environment}
    running = [
        subprocess.Popen([sys.executable, "-m", "nas", *words], cwd=folder, env=env, stdout=subprocess.DEVNULL)
        for words in commands
    ]
    if any(process.wait() for process in running):
        raise SystemExit("a command failed; its error stands above")
    after = os.times()
    processor_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, processor_s


def kept_programs(folder: Path) -> None:
    """Print the times of a training without kept programs, with an empty folder of them, and with a full one."""
    kept, weights = {FOLDER_VARIABLE: str(folder / "kept")}, []
    for name, env in (("nothing kept", {"JAX_ENABLE_COMPILATION_CACHE": "false"}), ("first", kept), ("second", kept)):
        out = folder / name.replace(" ", "-")
        words = ["train", "mobilenetv4-conv-s", "--proxy", "--data", "digits", "--epochs", "1", "--out", str(out)]
        wall_s, processor_s = timed([words], folder, env)
        weights.append((out / "weights.safetensors").read_bytes())
        print(f"training, {name:13} {wall_s:6.1f} s, {processor_s:6.1f} processor seconds", flush=True)
    print(f"weights of the three are {'the same bytes' if len(set(weights)) == 1 else 'NOT the same bytes'}")


def blas_threads(folder: Path) -> None:
    """Print the times of calibrations with one thread of BLAS and with one for each core."""
    rng = np.random.default_rng(0)
    model, space = load_target("pixel6-cpu").model(), make_plan(SearchConfig(target="pixel6-cpu")).space
    lines = ["arch,latency_ms"]
    for number, genotype in enumerate(space.sample(rng, NETWORKS).tolist()):
        arch = space.decode(tuple(genotype))
        save_arch(arch, folder / f"n{number}.json")
        lines.append(f"n{number}.json,{model.predict_ms(arch) * np.exp(NOISE * rng.standard_normal()):.6g}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    for together in (1, 2):
        for threads in (1, os.cpu_count() or 1):
            names = [f"t{together}-{threads}-{number}.toml" for number in range(together)]
            words = [["calibrate", "table.csv", "--like", "pixel6-cpu", "-o", name] for name in names]
            wall_s, processor_s = timed(words, folder, {"OPENBLAS_NUM_THREADS": str(threads)})
            print(f"{together} calibrations, {threads} threads {wall_s:6.1f} s, {processor_s:6.1f} processor seconds")


def collector() -> None:
    """Print the processor seconds of tracing a supernet's step with two settings of the garbage collector."""
    plan = make_plan(SearchConfig(target="pixel6-cpu", preset="smoke", space="uib_smoke"))
    training = SandwichTraining(plan.proxy(plan.space), plan.preset, plan.dataset.augmentation, 0)
    data = plan.proxy_dataset
    arrays = data.x_train, data.y_train, data.x_test, data.y_test, *data.channel_stats
    images, state = SearchImages(*(jnp.asarray(np.asarray(each)) for each in arrays)), training.init_state()
    rows, found = jnp.zeros((2, 16), jnp.int32), dict[str, list[float]]()
    usual = gc.get_threshold()
    for turn in range(2 * TURNS + 1):  # the first warms up
        name, thresholds = (("Python's", usual), ("the command line's", GC_THRESHOLDS))[turn % 2]
        gc.set_threshold(*thresholds)
        jax.clear_caches()
        gc.collect()
        steps: Any = compile_steps(training)
        start = time.process_time()
        steps.trace(state, images, rows).lower()
        if turn:
            found.setdefault(name, []).append(time.process_time() - start)
    gc.set_threshold(*usual)
    median_s = {name: float(np.median(each)) for name, each in found.items()}
    ratio = median_s["the command line's"] / median_s["Python's"]
    text = ", ".join(f"{each:.2f} s with {name} thresholds" for name, each in median_s.items())
    print(f"tracing: {text}; ratio {ratio:.2f}")


def main() -> None:
    """Print all three."""
    with tempfile.TemporaryDirectory() as folder:
        kept_programs(Path(folder))
        blas_threads(Path(folder))
    collector()


if __name__ == "__main__":
    main()
