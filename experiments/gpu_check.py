"""Does everything work on an accelerator, and how fast? One command, under 8 minutes on one GPU.

    python -m experiments.gpu_check --data-dir DIR [--out DIR]      (CIFAR-10 in DIR; see docs/quickstart.md)
    python -m experiments.gpu_check --smallest                      (on any machine: every part in its smallest form)

Three parts, each a process of its own that is ended at its time limit, so that one that hangs takes no other with it:

    trainings  networks trained alone as members of one program, 1, 4 and 16 at a time (`vmap`): seconds to compile,
               images a second, and how far the logits are from those of the stand-alone training after one step
    search     `nas search --preset standard` on CIFAR-10
    supernet   experiments/benchmarks/supernet.py, with PyTorch as the peer where torch is installed

Each prints lines and one JSON object; --out gets them as files. The last line says what passed. Nothing here was run
on a GPU so far: none was at hand.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nas.data import at_resolution, take
from nas.nn.network import split_statistics
from nas.runs.joint_search import search
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.space.scaling import scale_down
from nas.supernet.members import SpaceFamily
from nas.training.loop import TrainingConfig, TrainingPlan, initial_params
from nas.training.members import MemberProgram, StandAlone, run_group_steps, stacked_states
from nas.training.step import ImageSplit, image_splits

TOLERANCE = {"cpu": 1e-3}  # of logits after one step, in units of the largest; on accelerators, in bfloat16:
BFLOAT16_TOLERANCE = 0.1


@dataclass(frozen=True)
class Size:
    """How much is done: the groups of members, the steps timed, and the time limits of the parts in seconds."""

    groups: tuple[int, ...] = (1, 4, 16)
    batch: int = 128
    steps: int = 100
    images: int = 16_000
    limits_s: tuple[int, int, int] = (150, 190, 120)


SMALLEST = Size(groups=(2,), batch=16, steps=2, images=64, limits_s=(600, 600, 600))
PARTS = ("trainings", "search", "supernet")


def config(options: argparse.Namespace) -> SearchConfig:
    """Return the settings of the search, which the trainings share."""
    if options.smallest:
        return SearchConfig(space="uib_smoke", target="edgetpu", preset="smoke", baseline="none")
    return SearchConfig(target="edgetpu", preset="standard", data="cifar10", data_dir=options.data_dir)


def trainings(options: argparse.Namespace, size: Size) -> dict[str, Any]:
    """Train groups of random proxies for some steps; return seconds, images a second, and the check of one step."""
    plan = make_plan(config(options))
    data = at_resolution(plan.dataset, plan.proxy_resolution)
    data = replace(data, x_train=take(data.x_train, np.arange(size.images)), y_train=data.y_train[: size.images])
    split = image_splits(data)[0]
    assert isinstance(split, ImageSplit)
    family = SpaceFamily(plan.proxy(plan.space))
    genotypes = plan.space.sample(np.random.default_rng(0), max(size.groups))
    archs = [scale_down(plan.space.decode(row), plan.proxy_resolution, plan.proxy_width) for row in genotypes.tolist()]
    training = TrainingPlan(family.arch, TrainingConfig(batch_size=size.batch), data, split)
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind}
    for group in size.groups:
        program = MemberProgram(family, training.step_config)
        states = stacked_states([program.init_state(arch, 0) for arch in archs[:group]])
        inputs = jnp.stack([jnp.asarray(family.genotype(arch)) for arch in archs[:group]])
        rows = jnp.stack([jnp.asarray(training.rows(0, size.steps))] * group)
        seeds = jnp.zeros(group, jnp.uint32)
        seconds = []
        for count in (1, size.steps, size.steps):
            start = time.perf_counter()
            states, losses = jax.block_until_ready(run_group_steps(program, states, inputs, rows, count, seeds, split))
            seconds.append(time.perf_counter() - start)
        assert np.isfinite(losses).all(), losses
        rate = group * size.steps * size.batch / seconds[-1]
        found[f"group of {group}"] = {"compile_s": seconds[0], "steps_s": seconds[-1], "images_per_s": rate}
        print(f"{group} at a time: compile {seconds[0]:.1f} s, {rate:,.0f} images/s", flush=True)
    found["difference after one step"] = difference(plan, training, archs[0])
    print(f"logits after one step differ by {found['difference after one step']:.2g} of the largest", flush=True)
    return found


def difference(plan: SearchPlan, training: TrainingPlan, arch: Any) -> float:
    """Return how far the logits of a member are from the stand-alone network's, each after one step of a group of two.

    In units of the largest logit.
    """
    logits = []
    for family in (SpaceFamily(plan.proxy(plan.space)), StandAlone(arch)):
        one = replace(training, arch=family.arch)
        program = MemberProgram(family, one.step_config)
        states = stacked_states([program.init_state(arch, 0)] * 2)
        inputs = jnp.stack([jnp.asarray(family.genotype(arch))] * 2)
        rows = jnp.stack([jnp.asarray(one.rows(0, 1))] * 2)
        assert isinstance(one.split, ImageSplit)
        states, _ = run_group_steps(program, states, inputs, rows, 1, jnp.zeros(2, jnp.uint32), one.split)
        first = jax.tree.map(lambda array: np.asarray(array[0]), states.params)
        cut = {name: jnp.asarray(value) for name, value in family.cut(arch, family.packing.unpack(first)).items()}
        assert cut.keys() == split_statistics(initial_params(arch, 0, None))[0].keys()
        x = one.split.inputs(one.split.x[:64], arch)
        logits.append(np.asarray(StandAlone(arch).logits(cut, jnp.zeros(0, jnp.int32), x)))
    return float(np.abs(logits[0] - logits[1]).max() / np.abs(logits[1]).max())


def searching(options: argparse.Namespace, _: Size) -> dict[str, Any]:
    """Search, and return the seconds and what was found."""
    start = time.perf_counter()
    found = search(config(options), Path(options.out) / "search")
    seconds = time.perf_counter() - start
    top1 = found.accuracy.top1 if found.accuracy else None
    print(f"search: {seconds:.0f} s, {found.latency:.3g} {found.latency_unit}", flush=True)
    return {"seconds": seconds, "latency": found.latency, "budget": found.latency_budget, "top1": top1}


def benchmark(options: argparse.Namespace, _: Size) -> dict[str, Any]:
    """Run the supernet's benchmark, which prints its tables."""
    small = ["--space", "uib_smoke", "--resolution", "8", "--batch", "8", "--genotypes", "1", "--steps", "1",
             "--rounds", "1", "--no-averages", "--spaces", "coarse"]  # fmt: skip
    full = ["--genotypes", "2", "--rounds", "3", "--steps", "20", "--spaces", "coarse", "--no-averages"]
    start = time.perf_counter()
    command = [sys.executable, "-m", "experiments.benchmarks.supernet", *(small if options.smallest else full)]
    subprocess.run(command, check=True)
    return {"seconds": time.perf_counter() - start}


def main() -> int:
    """Run one part, or all; return the exit status."""
    options, size = parsed(), Size()
    if options.smallest:
        size = SMALLEST
    Path(options.out).mkdir(parents=True, exist_ok=True)
    if options.part:
        run = dict(zip(PARTS, (trainings, searching, benchmark), strict=True))[options.part]
        found = run(options, size)
        (Path(options.out) / f"{options.part}.json").write_text(json.dumps(found, indent=1) + "\n")
        off = found.get("difference after one step", 0.0)
        return int(off > TOLERANCE.get(jax.default_backend(), BFLOAT16_TOLERANCE))
    ended = {part: ended_part(part, limit) for part, limit in zip(PARTS, size.limits_s, strict=True)}
    print("; ".join(f"{part}: {how}" for part, how in ended.items()))
    return int(any(not how.startswith("passed") for how in ended.values()))


def ended_part(part: str, limit_s: int) -> str:
    """Run a part as a process of its own, and return how it ended."""
    start = time.perf_counter()
    try:
        done = subprocess.run([sys.executable, "-m", "experiments.gpu_check", *sys.argv[1:], "--part", part],
                              timeout=limit_s, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done within {limit_s} s"
    word = "passed" if done.returncode == 0 else f"failed (exit status {done.returncode})"
    return f"{word} in {time.perf_counter() - start:.0f} s"


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="every part in its smallest form")
    parser.add_argument("--data-dir", help="the folder with CIFAR-10")
    parser.add_argument("--out", default="runs/gpu_check", help="a new folder")
    parser.add_argument("--part", choices=PARTS, help="this part only, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
