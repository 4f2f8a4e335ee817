"""Benchmark: the supernet's training step against a static network of the same size, PyTorch, and the machine's peak.

    python -m experiments.benchmarks.supernet [--resolution 28] [--batch 64] [--threads N] [--chip edgetpu]

The supernet is the search's own program (`nas.supernet.joint.compile_steps`), run on random architectures and on a few
to which the policy is pinned; the static networks are those few, each trained by `nas.training.step.train_step` with
the same loss, optimizer and batch, without averaged weights and augmentation; PyTorch runs the same networks in eager
mode. The coarse space is all of `uib` with fixed blocks, the fine one lies around its architecture of the middle that
has the reference's latency on the chip. All are measured in turn, so that other load affects all alike; each number is
the median of the rounds, then the mean over the networks. A step counts 3 MACs for each MAC of a forward pass. The peak
is that of a large matrix product, in float32 on a CPU and bfloat16 elsewhere, the bandwidth that of a large copy, both
of the same run. The roofline of a step is 3 times the sum over the forward kernels of max(MACs / peak, bytes /
bandwidth): activations in the dtype of the step, normalisation and activation fused for free.

On 2 cores, one thread (jax 0.10.2, torch 2.14.1, 3 rounds, 3 networks of each space), while other work on the host
slowed its memory (peak 38 GMACs/s, 17 GB/s), ms of a step of 64 images, with the thousand samples that it prices:

    fine    static 77.6, PyTorch 101.0, supernet 97.1 (1.25 x static), random architectures 96.7
    coarse  static 153.1, PyTorch 171.4, supernet at three sizes 207.7 (1.36 x static), by masks alone 407.9 (2.66)

Evaluation of 1,000 images, networks a second: fine supernet 2.72, static 3.12, PyTorch 2.26; coarse 1.19 (masks .78),
1.56 and 1.15. An hour later the coarse space alone: static 129.2, PyTorch 135.9, three sizes 164.3 (1.27), masks 309.0;
evaluations 1.77 (masks 1.14), static 2.23, PyTorch 1.42. By masks the coarse supernet computes the widest layers, 2.29
times the MACs of these networks. Compiling the sizes takes longer by the seconds of 200 to 400 steps, so that short
trainings keep masks alone. Nothing was measured on a GPU: none was at hand.

Before convolutions and batch normalisation were what nas.nn.primitives has now, on a quiet machine: fine step 1.11
times the static one, PyTorch .95; coarse 1.30, by masks 2.23, PyTorch .91. Evaluations a second: fine 2.78, static
3.05, PyTorch 3.17; coarse 1.43 (masks 1.12), 1.87 and 1.77.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray

from experiments.benchmarks.timing import Timing, interleaved, print_table, use_threads
from nas.arch import ArchSpec
from nas.data import Augmentation
from nas.errors import InvalidInput
from nas.nn.network import Network, get_weights, split_statistics
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.search.constraints.repair import repair
from nas.space.staged import StagedSpace
from nas.supernet import joint
from nas.supernet.buckets import BUCKETS
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.presets import StageBudget
from nas.supernet.supernet import Supernet, parameters
from nas.tasks import Classification
from nas.training import step as training_step
from nas.training.devices import compute_dtype, device_sharding
from nas.training.optimizers import AdamW

try:
    import torch  # type: ignore[import-not-found,unused-ignore]

    from experiments.benchmarks.torch_peer import Peer
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

ENDLESS = 1 << 24  # controller steps of a stage whose policy never starts to learn
TRAINING, EVALUATED, EVAL_BATCH = 1024, 1000, 125  # images
STILL = Augmentation(0.0, False)
Run = Callable[[], object]
Row = tuple[str, list[str], list[ArchSpec] | None]  # name in the table, the runs it averages, their networks


@dataclass(frozen=True)
class Setting:
    """The common inputs of all programs: the plan, random images, and the rows of one dispatch."""

    plan: SearchPlan
    images: SearchImages
    rows: NDArray[np.int64]  # [steps, batch]
    genotypes: int  # static networks per space
    averages: bool  # whether the form with averaged depthwise options is measured too

    @property
    def steps(self) -> int:
        """Training steps in one dispatch."""
        return len(self.rows)

    def stage(self, space: StagedSpace, averages: bool) -> joint.JointStage:
        """Return a stage of the search over the deployed `space` that goes on for ever."""
        budget = StageBudget(
            ENDLESS, updates=1, steps_per_dispatch=self.steps, policy_warmup_fraction=1.0, averages=averages
        )
        return joint.JointStage(
            "bench", 0, self.plan.proxy(space), self.plan.constraints(space), budget, self.plan.preset, STILL, 0
        )


class SupernetRun:
    """The search's program over one space, with its state; the policy is set to sample given architectures."""

    def __init__(self, setting: Setting, space: StagedSpace, averages: bool, buckets: int = 1) -> None:
        self.stage, self.setting = setting.stage(space, averages), setting
        model = Supernet(self.stage.space, np.random.default_rng(0), buckets)
        self.graph = nnx.graphdef(model)
        self.state = joint.init_state(self.stage, parameters(model))
        self.uniform = np.asarray(self.state.policy.logits)
        self.step = ENDLESS - (1 << 12)  # at the end of the warm-up
        self.steps_per_dispatch = joint.compile_steps(self.stage, self.graph, device_sharding())

    def train(self, genotype: NDArray[np.int32] | None = None, warm: bool = False) -> None:
        """Run the steps of one dispatch, for `genotype` or for random ones, or for those that warm the weights up."""
        logits = self.uniform
        if genotype is not None:
            logits = np.where(np.arange(logits.shape[1]) == genotype[:, None], 0, -np.inf).astype(np.float32)
        self.step += self.setting.steps
        step = jnp.asarray(0 if warm else self.step, jnp.int32)
        policy = self.state.policy._replace(logits=jnp.asarray(logits), step=step)
        rows = jnp.asarray(self.setting.rows)
        state, _ = self.steps_per_dispatch(self.state._replace(policy=policy), self.setting.images, rows[:, None], rows)
        self.state = jax.block_until_ready(state)

    def evaluation(self) -> Callable[[NDArray[np.int32]], object]:
        """Return the search's evaluation of one architecture on the validation images."""
        evaluator = SupernetEvaluator(self.stage.space, self.graph, self.setting.images, EVAL_BATCH)

        def run(genotype: NDArray[np.int32]) -> float:
            evaluator.params = self.state.params
            return evaluator.correct(genotype)

        return run


class StaticRun:
    """One network alone: as many steps in one dispatch, and the evaluation on the same images in the same batches."""

    def __init__(self, setting: Setting, arch: ArchSpec) -> None:
        preset, p = setting.plan.preset, setting.images
        step_config = training_step.StepConfig(
            arch, preset.optimizer, ENDLESS, preset.warmup_fraction, Classification(preset.label_smoothing), 0.0, STILL
        )
        params = split_statistics(get_weights(Network(arch, nnx.Rngs(0))))[0]
        self.carry: Any = (jnp.zeros((), jnp.int32), params, step_config.transform().init(params))
        self.rows = jnp.asarray(setting.rows)
        split = training_step.ImageSplit(p.x_train, p.y_train, p.mean, p.std)
        val = training_step.ImageSplit(p.x_val, p.y_val, p.mean, p.std)

        def steps(carry: Any, rows: Array, split: training_step.ImageSplit) -> Any:
            def body(carry: Any, row: Array) -> tuple[Any, Array]:
                count, params, optimizer = carry
                state = training_step.TrainState(count, params, params, optimizer)
                state, loss, _ = training_step.train_step(step_config, state, row, jax.random.key(0), split)
                return (state.step, state.params, state.optimizer), loss  # nobody reads the average: it costs nothing

            return lax.scan(body, carry, rows)[0]

        def correct(params: Any, split: training_step.ImageSplit) -> Array:
            def of_batch(rows: Array) -> Array:
                x, y = split.inputs(split.x[rows], arch), split.y[rows]
                batch = training_step.Batch(x, y)
                return EVAL_BATCH * training_step.loss_and_score(step_config, params, batch, jax.random.key(0))[1]

            return jnp.sum(lax.map(of_batch, jnp.arange(EVALUATED).reshape(-1, EVAL_BATCH)))

        self._steps, self._correct, self._splits = jax.jit(steps, donate_argnums=0), jax.jit(correct), (split, val)

    def train(self) -> None:
        """Run the steps of one dispatch."""
        self.carry = jax.block_until_ready(self._steps(self.carry, self.rows, self._splits[0]))

    def evaluate(self) -> int:
        """Return how many images the network classifies correctly, with the statistics of each batch."""
        return int(self._correct(self.carry[1], self._splits[1]))


def make_setting(options: argparse.Namespace) -> Setting:
    """Return the plan and random images; the speed does not depend on their content."""
    plan = make_plan(
        SearchConfig(
            space=options.space,
            target=options.chip,
            preset="standard",
            proxy_resolution=options.resolution,
            proxy_width=options.width,
        )
    )
    rng, size = np.random.default_rng(0), (options.resolution, options.resolution, 1)
    x_train, x_val = (rng.integers(0, 256, (n, *size), dtype=np.uint8) for n in (TRAINING, EVALUATED))
    y_train, y_val = (rng.integers(0, plan.space.num_classes, n, dtype=np.int32) for n in (TRAINING, EVALUATED))
    mean, std = np.full(1, 0.5, np.float32), np.full(1, 0.25, np.float32)
    images = SearchImages(*map(jnp.asarray, (x_train, y_train, x_val, y_val, mean, std)))
    plan = replace(plan, preset=replace(plan.preset, batch=options.batch))
    rows = rng.integers(0, TRAINING, (options.steps, options.batch))
    return Setting(plan, images, rows, options.genotypes, options.averages)


def repaired_middle(plan: SearchPlan) -> ArchSpec:
    """Return the coarse architecture in the middle of the space, moved onto the latency budget by exact repair."""
    coarse = plan.space.coarse()
    sizes = [len(decision.options) for decision in coarse.decisions]
    found = repair(coarse, [n // 2 for n in sizes], np.zeros((len(sizes), max(sizes))), plan.constraints(coarse))
    if found is None:
        raise InvalidInput(
            f"repair found no architecture with the latency {plan.latency_budget:.4g} on {plan.target_name}"
        )
    return coarse.decode(found)


def machine_runs() -> dict[str, Run]:
    """Return the runs that give the machine's peak and bandwidth."""
    size, elements = machine_sizes()
    dtype = compute_dtype()
    square, product = jnp.ones((size, size), dtype), jax.jit(lambda a: a @ a)
    # In place, as a fresh result would measure how the system hands out memory.
    line, negate = [jnp.ones(elements, jnp.float32)], jax.jit(lambda a: -a, donate_argnums=0)

    def copy() -> None:
        line[0] = jax.block_until_ready(negate(line[0]))

    return {"peak": lambda: jax.block_until_ready(product(square)), "bandwidth": copy}


def machine_sizes() -> tuple[int, int]:
    """Return the side of the matrices and the elements of the copied line."""
    return (2048, 1 << 25) if jax.default_backend() == "cpu" else (16384, 1 << 29)


@dataclass(frozen=True)
class Machine:
    """The MACs and bytes per second that one matrix product and one copy of this run reach."""

    macs_per_s: float
    bytes_per_s: float

    @classmethod
    def of(cls, times: dict[str, Timing]) -> "Machine":
        """Return the rates from the times of `machine_runs`."""
        size, elements = machine_sizes()
        return cls(size**3 / times["peak"].median_s, 8 * elements / times["bandwidth"].median_s)

    def roofline_s(self, arch: ArchSpec, batch: int) -> float:
        """Return the least seconds of a training step of `arch`; see the module's docstring."""
        width = compute_dtype().itemsize

        def seconds(macs: int, moved: int, weights: int) -> float:
            return float(max(batch * macs / self.macs_per_s, width * (batch * moved + weights) / self.bytes_per_s))

        return 3 * sum(seconds(k.macs, k.reads + k.writes, k.weights) for k in arch.kernels)


class Case:
    """One space, coarse or fine: its supernets, the static networks and their peers, as named runs and table rows."""

    def __init__(self, name: str, setting: Setting, space: StagedSpace) -> None:
        self.name, self.setting = name, setting
        self.proxy = setting.plan.proxy(space)
        self.genotypes = list(space.sample(np.random.default_rng(1), setting.genotypes))
        self.archs = [self.proxy.decode(genotype.tolist()) for genotype in self.genotypes]
        searched = any(decision.name.endswith(".dw") for decision in space.decisions)
        searched = searched and setting.averages
        forms = {"supernet": False, "supernet with averages": True} if searched else {"supernet": False}
        self.nets = {form: SupernetRun(setting, space, averages) for form, averages in forms.items()}
        self.steps: dict[str, Run] = {}
        self.evaluations: dict[str, Run] = {}
        self.step_rows: list[Row] = []
        self.evaluation_rows: list[Row] = []
        for form, net in self.nets.items():
            self.add(form, (partial(net.train, genotype) for genotype in self.genotypes))
        evaluation = self.nets["supernet"].evaluation()
        self.add("supernet", (partial(evaluation, genotype) for genotype in self.genotypes), evaluate=True)
        if len({decision.name for decision in space.decisions if decision.name.endswith(".filters")}):
            self.add_buckets(setting, space)
        self.add_once("supernet, random", self.nets["supernet"].train)
        if searched:
            averages = self.nets["supernet with averages"]
            self.add_once("supernet, all averaged", partial(averages.train, warm=True))
        statics = [StaticRun(setting, arch) for arch in self.archs]
        self.add("static", (net.train for net in statics))
        self.add("static", (net.evaluate for net in statics), evaluate=True)
        if torch is not None:
            self.add_peers()

    def add(self, name: str, runs: Iterable[Run], *, evaluate: bool = False) -> None:
        """Add one run for each of the pinned networks."""
        named = {f"{self.name} {name} {'evaluation ' if evaluate else ''}{i}": run for i, run in enumerate(runs)}
        (self.evaluations if evaluate else self.steps).update(named)
        (self.evaluation_rows if evaluate else self.step_rows).append((name, list(named), self.archs))

    def add_once(self, name: str, run: Run) -> None:
        """Add a run of no particular network."""
        self.steps[f"{self.name} {name}"] = run
        self.step_rows.append((name, [f"{self.name} {name}"], None))

    def add_buckets(self, setting: Setting, space: StagedSpace) -> None:
        """Add the supernet that computes its blocks at a few sizes."""
        net = SupernetRun(setting, space, averages=False, buckets=BUCKETS)
        evaluation = net.evaluation()
        self.add("supernet, sizes", (partial(net.train, genotype) for genotype in self.genotypes))
        self.add("supernet, sizes", (partial(evaluation, genotype) for genotype in self.genotypes), evaluate=True)

    def add_peers(self) -> None:
        """Add PyTorch's runs of the pinned networks."""
        p, preset, rows = self.setting.images, self.setting.plan.preset, self.setting.rows
        optimizer = preset.optimizer
        assert isinstance(optimizer, AdamW)
        numbers = preset.label_smoothing, optimizer.learning_rate, optimizer.weight_decay
        accelerator = jax.default_backend() != "cpu"
        train = [Peer(a, np.asarray(p.x_train), np.asarray(p.y_train), *numbers, accelerator) for a in self.archs]
        val = [Peer(a, np.asarray(p.x_val), np.asarray(p.y_val), *numbers, accelerator) for a in self.archs]
        self.add("PyTorch eager", (partial(peer.train, rows) for peer in train))
        self.add("PyTorch eager", (partial(peer.evaluate, EVALUATED, EVAL_BATCH) for peer in val), evaluate=True)

    def report(self, times: dict[str, Timing], machine: Machine) -> None:
        """Print the tables of steps and of evaluations."""
        batch, steps = self.setting.rows.shape[1], self.setting.steps

        def mean_s(runs: list[str]) -> float:
            return statistics.mean(times[run].median_s for run in runs)

        by_name = {name: runs for name, runs, _ in self.step_rows}
        static_s, peer = mean_s(by_name["static"]) / steps, by_name.get("PyTorch eager")
        body = []
        for name, runs, archs in self.step_rows:
            step_s = mean_s(runs) / steps
            compiled = [times[run].compile_s for run in runs[: 1 if "supernet" in name else None]]
            shared = name in ("supernet, random", "supernet, all averaged", "PyTorch eager")
            cells = [f"{1e3 * step_s:.1f}", f"{step_s / static_s:.2f}"]
            cells.append(f"{step_s / (mean_s(peer) / steps):.2f}" if peer else "-")
            if archs:
                rate = 3 * batch * statistics.mean(arch.macs for arch in archs) / step_s
                bound_s = statistics.mean(machine.roofline_s(arch, batch) for arch in archs)
                cells += [f"{rate / machine.macs_per_s:.1%}", f"{bound_s / step_s:.1%}"]
            else:
                cells += ["-", "-"]
            body.append([f"{self.name}: {name}", *cells, "-" if shared else f"{statistics.mean(compiled):.1f}"])
        print()
        heads = ["training step", "ms", "/ static", "/ PyTorch", "of peak", "of roofline", "compile s"]
        print_table(heads, body)
        print()
        by_name = {name: runs for name, runs, _ in self.evaluation_rows}
        static_s = mean_s(by_name["static"])
        body = [
            [f"{self.name}: {name}", f"{1 / mean_s(runs):.2f}", f"{static_s / mean_s(runs):.2f}"]
            for name, runs, _ in self.evaluation_rows
        ]
        print_table([f"evaluations on {EVALUATED:,} images", "networks/s", "/ static"], body)

    def masked(self) -> str:
        """Return a text: how many MACs a masked supernet computes, as a multiple of those of the networks."""
        sizes = (".filters", ".expansion")
        decision_indices = [i for i, d in enumerate(self.proxy.decisions) if d.name.endswith(sizes)]
        widest = np.array(self.genotypes)
        widest[:, decision_indices] = [len(self.proxy.decisions[i].options) - 1 for i in decision_indices]
        most = statistics.mean(self.proxy.decode(genotype.tolist()).macs for genotype in widest)
        ratio = most / statistics.mean(arch.macs for arch in self.archs)
        return f"{self.name}: masks compute the widest layers, {ratio:.2f} times the MACs of these networks"


def main() -> None:
    """Measure and print."""
    options = parsed()
    threads = use_threads(options.threads)
    jax.config.update("jax_enable_compilation_cache", False)
    if torch is not None:
        torch.set_num_threads(threads)
    setting = make_setting(options)
    middle = repaired_middle(setting.plan)
    spaces = {"fine": setting.plan.space.fine(middle), "coarse": setting.plan.space.coarse()}
    print(f"{jax.devices()[0].device_kind}, {threads} threads, {compute_dtype()}; jax {jax.__version__}, "
          f"{'no torch here: no peer' if torch is None else f'torch {torch.__version__}'}")  # fmt: skip
    print(f"proxy: {options.resolution} px, width {options.width:g}, batch {options.batch}; "
          f"{options.genotypes} networks, {options.steps} steps a dispatch, {options.rounds} rounds")  # fmt: skip
    cases = [Case(name, setting, spaces[name]) for name in options.spaces]
    runs = machine_runs()
    for case in cases:
        runs |= case.steps | case.evaluations
    times = interleaved(runs, options.rounds)
    machine = Machine.of(times)
    print(f"peak {machine.macs_per_s / 1e9:,.1f} GMACs/s, bandwidth {machine.bytes_per_s / 1e9:,.1f} GB/s")
    for case in cases:
        macs = statistics.mean(arch.macs for arch in case.archs)
        print(f"\n{case.name}: {len(case.proxy.decisions)} decisions, networks of {macs / 1e6:.1f} MMACs on average")
        case.report(times, machine)
        if case.name == "coarse":
            print(case.masked())


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="uib")
    parser.add_argument("--resolution", type=int, default=28, help="of the proxy, in px")
    parser.add_argument("--width", type=float, default=0.25, help="of the proxy")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, help="cores to use (default: all)")
    parser.add_argument("--chip", default="edgetpu", help="the target that fixes the size of the fine space")
    parser.add_argument("--genotypes", type=int, default=3, help="static networks per space")
    parser.add_argument("--steps", type=int, default=4, help="training steps in one dispatch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--averages", action=argparse.BooleanOptionalAction, default=True, help="measure both forms")
    parser.add_argument("--spaces", nargs="+", choices=("fine", "coarse"), default=["fine", "coarse"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
