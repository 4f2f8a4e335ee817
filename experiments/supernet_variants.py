"""Study: which way of training a supernet ranks networks of equal latency? (CIFAR-10, edgetpu, space uib)

Supernets of the whole space are trained for equal processor seconds of one core, compilation left out, and score the
networks of the truth table (experiments/data/truth_table), whose proxies were trained alone. Kendall's tau of the
scores with those accuracies, its 95 % interval, and the noise ceiling:

    sandwich    as the project trains it: largest, smallest, one of the coarse view, one random; the largest teaches
    uniform     four random architectures a step, which learn from the labels
    fair        four a step in which every decision takes different options (strict fairness of FairNAS,
                arXiv 1907.01845: over the steps each option is trained equally often)
    complexity  uniform, with a learning rate that decays more slowly for architectures of more MACs, and a momentum of
                its own for each of three groups of MACs (arXiv 2503.10740)
    splits      three supernets, for architectures of few, middle and many blocks, each with weights of its own, one of
                each a step (arXiv 2412.14678)
    band        four a step from the networks within the latency band alone: those that are to be ranked, and no others
    reinforced  as sandwich, on the images of a reinforced data set (`nas reinforce`): 8 samples of each training image
                with the answers of a teacher, which learned from the same images (the proxy of MobileNetV4-Conv-S of
                twice the width, 10 epochs); what teacher and set cost is printed, and no part of the seconds

    python -m experiments.supernet_variants --data-dir DIR [--variants sandwich fair ...] [--core-seconds 240]
    python -m experiments.supernet_variants

The first command appends a line for each, with the scores of 64 networks, to experiments/data/supernet_variants.jsonl;
both recompute the taus from it and from the truth table as it stands.

What came out, 300 processor seconds each (380 to 915 steps), 64 networks, one seed, a perfect predictor at +.44:

    fair +.14 [-.05, +.31]    complexity +.13 [-.05, +.30]    sandwich +.09 [-.08, +.26]
    splits -.05 [-.22, +.12]    uniform -.08 [-.27, +.12]    band -.11 [-.27, +.06]

Two seeds of the sandwich on the plain images and on the reinforced set (8 samples of each image; a teacher of 54.4 % on
the validation images; teacher and set took 473 processor seconds, which do not count), 300 processor seconds each:

    sandwich   tau +.09 [-.08, +.26] and -.05 [-.21, +.12], mean top-1 25.3 and 25.1 %, 380 and 335 steps
    reinforced tau +.11 [-.06, +.27] and +.00 [-.16, +.17], mean top-1 20.6 and 23.2 %, 245 and 355 steps

One seed ranks as the other with tau +.24 on the plain images, with .00 on the reinforced ones.

Not resolved: every interval holds 0, and each holds most others' means. MACs alone have +.33, the accuracy model of
static features +.36. So the sandwich stays, on plain images, and a search asks the run's own trainings before it
believes a supernet (nas/search/accuracy). The band's supernet is the most accurate (32.3 % against 24 to 28 %) and
ranks no better. How many steps 300 seconds are is planned from the first ten, beside other work: hence 245 and 355.
"""

import argparse
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("NPROC", "1")  # one thread of XLA: processor seconds are those of one core

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray
from scipy.stats import kendalltau

from experiments.arms import commit
from experiments.ranking_study import random_genotypes
from experiments.truth_table import known_trainings, make_truth_plan, plan_without_images, table_of
from nas.data import Preparation, at_resolution, epoch_indices, load, validation_view
from nas.data.replay import Recipe
from nas.files import write_whole
from nas.protocols import Genotypes
from nas.records.ranking_table import RankingTable
from nas.runs.plan import SearchPlan
from nas.runs.reinforce import ReinforceConfig, load_teacher, reinforce, reinforcement
from nas.search.accuracy.evidence import tau_with_interval
from nas.search.accuracy.ranking import CONFIDENCE, noise_ceiling
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.space.cost_table import MACS, compile_table
from nas.space.scaling import scale_down
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.sandwich import SandwichTraining
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from nas.training.loop import TrainingConfig
from nas.training.loop import train as train_alone
from nas.training.optimizers import AdamW, cosine_schedule, decay_mask
from nas.training.replays import ReplayTable
from nas.zoo import reference

JOURNAL = Path(__file__).parent / "data/supernet_variants.jsonl"
SCORED = 64  # networks of the truth table, trained or not
PER_STEP = 4  # architectures
GROUPS = 3  # of complexity, or of depth
DECAY = (2.0, 0.5)  # exponent of the schedule's decay, of the least and of the most complex architecture
POOL = 4096  # genotypes from which splits and band are drawn
DISPATCH = 5  # steps
EPS = 1e-8
TEACHER, TEACHER_WIDTH, TEACHER_EPOCHS = "mobilenetv4-conv-s", 0.5, 10
SAMPLES = 8  # of each image of a reinforced data set


class Draws(NamedTuple):
    """The architectures of all steps: genotypes [S, K, D], their groups [S, K], exponents of their decay [S, K]."""

    genotypes: Any  # arrays of numpy, or of jax in a compiled step
    groups: Any
    exponents: Any


@dataclass(frozen=True)
class Variant:
    """A way of training: what it samples, and what the groups of architectures have for themselves."""

    draw: Callable[[SearchPlan, SandwichTraining, int, np.random.Generator], Draws]
    teaches: bool = False  # the first architecture of a step teaches the others
    own_momentum: bool = False
    own_weights: bool = False
    reinforced: bool = False  # learns from a reinforced data set

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return GROUPS if self.own_momentum or self.own_weights else 1


class VariantState(NamedTuple):
    """Weights, moments and steps; weights and second moments have a leading axis where groups have their own."""

    params: Params
    first: Params  # [groups, ...]
    second: Params
    counts: Array  # [groups], updates of each
    step: Array


# ------------------------------------------------------------------------------------------------------------ sampling


def _alike(genotypes: Genotypes) -> Draws:
    """Return draws of one group with the decay of the schedule."""
    shape = genotypes.shape[:2]
    return Draws(genotypes, np.zeros(shape, np.int32), np.ones(shape, np.float32))


def _uniform(plan: SearchPlan, steps: int, rng: np.random.Generator) -> Genotypes:
    """Return uniform genotypes [steps, K, D] of the whole space."""
    return plan.space.sample(rng, steps * PER_STEP).reshape(steps, PER_STEP, -1).astype(np.int32)


def draw_uniform(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return four random architectures a step."""
    return _alike(_uniform(plan, steps, rng))


def draw_sandwich(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return the largest, the smallest, one of the coarse view and a random one a step."""
    found = _uniform(plan, steps, rng)
    found[:, 0], found[:, 1] = training.extremes
    found[:, 2] = np.where(training.coarse < 0, found[:, 2], training.coarse)
    return _alike(found)


def draw_fair(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return four architectures a step, each decision going through a random order of its options again and again."""
    columns = []
    for decision in plan.space.decisions:
        rounds = -(-steps * PER_STEP // len(decision.options))
        columns.append(np.concatenate([rng.permutation(len(decision.options)) for _ in range(rounds)]))
    found = np.stack([column[: steps * PER_STEP] for column in columns], 1)
    return _alike(found.reshape(steps, PER_STEP, -1).astype(np.int32))


def draw_by_complexity(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return four random architectures a step, in thirds by MACs; the more MACs, the slower the decay."""
    found = _uniform(plan, steps, rng)
    macs = compile_table(plan.space, MACS).score(found.reshape(steps * PER_STEP, -1))
    rank = (macs.argsort().argsort() / max(1, len(macs) - 1)).reshape(steps, PER_STEP)
    exponents = DECAY[0] + (DECAY[1] - DECAY[0]) * rank
    return Draws(found, np.minimum(GROUPS * rank, GROUPS - 1).astype(np.int32), exponents.astype(np.float32))


def depths(plan: SearchPlan, genotypes: Genotypes) -> NDArray[np.int64]:
    """Return the number of blocks of genotypes [N, D] beyond the first of each stage, as [N]."""
    deep = [i for i, decision in enumerate(plan.space.decisions) if decision.name.endswith(".depth")]
    return np.asarray(genotypes)[:, deep].sum(1)


def split_of(plan: SearchPlan, genotypes: Genotypes) -> NDArray[np.int32]:
    """Return the third by depth [N] of genotypes [N, D], as a uniform draw of the space has them."""
    known = depths(plan, plan.space.sample(np.random.default_rng(0), POOL))
    edges = np.quantile(known, np.arange(1, GROUPS) / GROUPS)
    return np.searchsorted(edges, depths(plan, genotypes)).astype(np.int32)


def draw_splits(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return one random architecture of each third by depth a step."""
    pool = plan.space.sample(rng, POOL).astype(np.int32)
    split = split_of(plan, pool)
    chosen = [pool[rng.choice(np.flatnonzero(split == group), steps)] for group in range(GROUPS)]
    groups = np.tile(np.arange(GROUPS, dtype=np.int32), (steps, 1))
    return Draws(np.stack(chosen, 1), groups, np.ones((steps, GROUPS), np.float32))


def draw_band(plan: SearchPlan, training: SandwichTraining, steps: int, rng: np.random.Generator) -> Draws:
    """Return four random architectures of the latency band a step."""
    pool = Bounded(plan.space, upper_bounds(plan.constraints(plan.space))).draw(rng, POOL)
    return _alike(pool[rng.integers(len(pool), size=(steps, PER_STEP))].astype(np.int32))


VARIANTS = {
    "sandwich": Variant(draw_sandwich, teaches=True),
    "uniform": Variant(draw_uniform),
    "fair": Variant(draw_fair),
    "complexity": Variant(draw_by_complexity, own_momentum=True),
    "splits": Variant(draw_splits, own_weights=True),
    "band": Variant(draw_band),
    "reinforced": Variant(draw_sandwich, teaches=True, reinforced=True),
}

# ------------------------------------------------------------------------------------------------------------ training


def init_state(variant: Variant, training: SandwichTraining) -> VariantState:
    """Return the state before the first step."""
    params = parameters(training.model())
    wide = jax.tree.map(lambda a: jnp.repeat(a[None], variant.groups, 0), params)
    first = jax.tree.map(jnp.zeros_like, wide)
    params = wide if variant.own_weights else params
    counts = jnp.zeros(variant.groups, jnp.int32)
    return VariantState(params, first, jax.tree.map(jnp.zeros_like, params), counts, jnp.int32(0))


def make_steps(variant: Variant, training: SandwichTraining) -> Callable[..., tuple[VariantState, Array]]:
    """Return the jitted function of (state, images, rows [S, B], draws of S steps, rates [S]) -> (state, losses [S]).

    A rate is the learning rate of a step over its peak.
    """
    graph, optimizer = nnx.graphdef(training.model()), training.preset.optimizer
    assert isinstance(optimizer, AdamW)
    classes = training.space.num_classes

    def loss_of(params: Params, x: Array, genotype: Array, targets: Array) -> tuple[Array, Array]:
        logits = with_parameters(graph, params)(x, genotype).astype(jnp.float32)
        return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean(), logits

    def step(
        state: VariantState, images: SearchImages, rows: Array, draws: Draws, rate: Array
    ) -> tuple[VariantState, Array]:
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        x, classes_of, soft = images.batch(key, rows, training.augmentation, training.space)
        labels = optax.smooth_labels(jax.nn.one_hot(classes_of, classes), training.preset.label_smoothing)
        labels = labels if soft is None else soft

        def add(carry: tuple[Array, Params, Array], one: Any) -> tuple[tuple[Array, Params, Array], Array]:
            targets, total, place = carry
            genotype, group, exponent = one
            params = jax.tree.map(lambda a: a[group], state.params) if variant.own_weights else state.params
            (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, x, genotype, targets)
            if variant.teaches:
                targets = jnp.where(place == 0, jax.nn.softmax(logits), targets)
            weight = jnp.maximum(rate, 1e-6) ** (exponent - 1)  # on top of the schedule, which all share
            total = jax.tree.map(lambda a, g: a.at[group].add(weight * g), total, gradient)
            return (targets, total, place + 1), loss

        start = labels, jax.tree.map(jnp.zeros_like, state.first), jnp.int32(0)
        (_, total, _), losses = lax.scan(add, start, draws)
        return _updated(variant, optimizer, state, total, draws.groups, rate), losses.mean()

    @partial(jax.jit, donate_argnums=0)
    def run(
        state: VariantState, images: SearchImages, rows: Array, draws: Draws, rates: Array
    ) -> tuple[VariantState, Array]:
        return lax.scan(lambda s, now: step(s, images, *now), state, (rows, draws, rates))

    return run


def _updated(
    variant: Variant, optimizer: AdamW, state: VariantState, total: Params, groups: Array, rate: Array
) -> VariantState:
    """Return the state after an update of AdamW by the gradients [groups, ...], each group with its own momentum."""
    present = (groups[:, None] == jnp.arange(variant.groups)).any(0)
    counts, step = state.counts + present, state.step + 1

    def spread(values: Array, like: Array) -> Array:
        return values.reshape(-1, *[1] * (like.ndim - 1))

    def moments(first: Array, second: Array, gradient: Array, weight: Array, decays: bool) -> tuple[Array, ...]:
        here = spread(present, first)
        first = jnp.where(here, optimizer.beta1 * first + (1 - optimizer.beta1) * gradient, first)
        unbiased = first / (1 - optimizer.beta1 ** jnp.maximum(spread(counts, first), 1))
        square = gradient**2 if variant.own_weights else gradient.sum(0) ** 2
        second = optimizer.beta2 * second + (1 - optimizer.beta2) * square
        scale = jnp.sqrt(second / (1 - optimizer.beta2**step)) + EPS
        change = jnp.where(here, unbiased, 0.0)
        change = (change if variant.own_weights else change.sum(0)) / scale
        rated = optimizer.learning_rate * rate
        return first, second, weight - rated * (change + optimizer.weight_decay * decays * weight)

    names, found = list(state.params), {}
    decays = decay_mask(state.params)
    for name in names:
        found[name] = moments(state.first[name], state.second[name], total[name], state.params[name], decays[name])
    first, second, params = ({name: found[name][i] for name in names} for i in range(3))
    return VariantState(params, first, second, counts, step)


def train(variant: Variant, plan: SearchPlan, images: SearchImages, core_s: float, seed: int) -> tuple[Params, int]:
    """Return the weights after as many steps as take `core_s` processor seconds, and how many steps those were.

    The number of steps follows from the first dispatch after compilation; the schedule spans exactly them.
    """
    training = SandwichTraining(plan.proxy(plan.space), plan.preset, plan.dataset.augmentation, seed)
    batch, count = plan.preset.batch, len(images.x_train)

    def rows_of(step: int) -> Array:
        per_epoch = count // batch
        order = [epoch_indices(seed, s // per_epoch, count, batch)[s % per_epoch] for s in range(step, step + DISPATCH)]
        return jnp.asarray(np.stack(order))

    run = make_steps(variant, training)

    def dispatch(state: VariantState, draws: Draws, step: int) -> VariantState:
        schedule = cosine_schedule(1.0, len(draws.genotypes), plan.preset.warmup_fraction)
        part = Draws(*(jnp.asarray(column[step : step + DISPATCH]) for column in draws))
        state, losses = run(state, images, rows_of(step), part, schedule(jnp.arange(step, step + DISPATCH)))
        if step % (10 * DISPATCH) == 0:
            print(f"  step {step}: loss {float(losses.mean()):.3f}", flush=True)
        return jax.block_until_ready(state)

    trial = variant.draw(plan, training, 3 * DISPATCH, np.random.default_rng([seed, 1]))
    state = dispatch(init_state(variant, training), trial, 0)
    began = time.process_time()
    for step in (DISPATCH, 2 * DISPATCH):
        state = dispatch(state, trial, step)
    step_s = (time.process_time() - began) / (2 * DISPATCH)
    steps = max(DISPATCH, round(core_s / step_s) // DISPATCH * DISPATCH)
    print(f"  {step_s:.2f} processor seconds a step: {steps} steps", flush=True)
    draws = variant.draw(plan, training, steps, np.random.default_rng([seed, 2]))
    state = init_state(variant, training)
    for step in range(0, steps, DISPATCH):
        state = dispatch(state, draws, step)
    return state.params, steps


def scores(
    variant: Variant, plan: SearchPlan, params: Params, images: SearchImages, genotypes: Genotypes
) -> NDArray[np.float64]:
    """Return the top-1 [N] of genotypes [N, D] under shared weights, of their own split where there are splits."""
    space = plan.proxy(plan.space)
    graph = nnx.graphdef(Supernet(space, np.random.default_rng(0)))
    evaluator = SupernetEvaluator(space, graph, images, plan.preset.eval_batch)
    split = split_of(plan, genotypes) if variant.own_weights else np.zeros(len(genotypes), np.int32)
    found = np.zeros(len(genotypes))
    for group in np.unique(split):
        evaluator.params = jax.tree.map(lambda a, g=int(group): a[g], params) if variant.own_weights else params
        found[split == group] = evaluator.accuracy(genotypes[split == group])
    return found


def search_images(plan: SearchPlan) -> SearchImages:
    """Return the images of the search of the truth table, with as many validation images as its preset evaluates on."""
    view = validation_view(
        at_resolution(plan.dataset, plan.proxy_resolution), plan.preset.validation_fraction, plan.settings.seed
    )
    most = plan.preset.eval_images
    parts = view.x_train, view.y_train, view.x_test[:most], view.y_test[:most], *view.channel_stats
    return SearchImages(*(jnp.asarray(np.asarray(part)) for part in parts))


def reinforced_images(images: SearchImages, work: Path) -> SearchImages:
    """Return the same images with the samples of a reinforced data set in `work`, which is made where it is not yet."""
    path, folder, began = work / "images.npz", work / "set", time.process_time()
    if not path.exists():
        x_train, y_train, x_test, y_test = map(np.asarray, (images.x_train, images.y_train, images.x_val, images.y_val))
        stream = io.BytesIO()
        np.savez(stream, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        work.mkdir(parents=True, exist_ok=True)
        write_whole(path, stream.getvalue())
    data = load(str(path), preparation=Preparation(flip=True))
    if not (work / "teacher" / "train.json").exists():
        network = replace(reference(TEACHER), num_classes=data.num_classes)
        arch = scale_down(network, data.size, TEACHER_WIDTH)
        result = train_alone(arch, data, TrainingConfig(epochs=TEACHER_EPOCHS), work / "teacher")
        print(f"  teacher: {result.accuracy.top1:.1%} on validation images", flush=True)
    config = ReinforceConfig((str(work / "teacher"),), SAMPLES, recipe=Recipe(flip=True))
    teachers = [load_teacher(text, data) for text in config.teachers]
    reinforce(reinforcement(str(path), data, config, teachers), data, teachers, folder)
    print(f"  teacher and set: {time.process_time() - began:.0f} processor seconds here", flush=True)
    found = load(str(folder))
    assert found.replays is not None
    parts = {"x_train": jnp.asarray(np.asarray(found.x_train)), "y_train": jnp.asarray(found.y_train)}
    return replace(images, **parts, replays=ReplayTable.of(found.replays, found.size))


def judge(name: str, plan: SearchPlan, images: SearchImages, core_s: float, seed: int) -> dict[str, Any]:
    """Train a variant, and return its record: the scores of the networks that the truth table has or may get."""
    variant = VARIANTS[name]
    params, steps = train(variant, plan, images, core_s, seed)
    genotypes = np.array(random_genotypes(plan, SCORED, 0), np.int32)
    top1 = scores(variant, plan, params, images, genotypes)
    digests = [plan.space.decode(genotype).digest[:12] for genotype in genotypes.tolist()]
    return {
        "variant": name, "seed": seed, "core_s": core_s, "steps": steps, "commit": commit(),
        "top1": dict(zip(digests, map(float, top1), strict=True)),
    }  # fmt: skip


def taus(records: Sequence[Mapping[str, Any]], table: RankingTable) -> Iterator[str]:
    """Yield a line per record: how its scores rank the networks of the truth table, beside the ceiling."""
    labels, digests = table.accuracy[:, :2], [digest[:12] for digest in table.digests]
    ceiling = noise_ceiling(labels)
    perfect = f"{ceiling.expected:+.2f} ({ceiling.low:+.2f} to {ceiling.high:+.2f})"
    yield f"{len(labels)} networks of the truth table; a perfect predictor: {perfect}"
    for record in records:
        known = np.array([record["top1"].get(digest, np.nan) for digest in digests])
        here = np.isfinite(known)
        tau = tau_with_interval(known[here], labels[here].mean(1), CONFIDENCE)
        yield (
            f"{record['variant']:10s} seed {record['seed']}, {record['core_s']:g} s, {record['steps']} steps: top-1 "
            f"{np.mean(known[here]):.1%}, tau {tau.value:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}]"
        )
    yield from agreement(records)


def agreement(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line per variant trained with several seeds for equal times: tau between the scores of two seeds."""
    alike: dict[tuple[str, float], list[Mapping[str, float]]] = {}
    for record in records:
        alike.setdefault((record["variant"], record["core_s"]), []).append(record["top1"])
    for (variant, core_s), seeds in alike.items():
        pairs = [
            kendalltau(*(np.array([one[digest] for digest in first]) for one in (first, second))).statistic
            for first, second in combinations(seeds, 2)
        ]
        if pairs:
            means = [100 * np.mean(list(one.values())) for one in seeds]
            yield (
                f"{variant:10s} {core_s:g} s, {len(seeds)} seeds: one seed ranks as another with tau "
                f"{np.mean(pairs):+.2f}; mean top-1 {np.mean(means):.1f} % +- {np.std(means, ddof=1):.1f}"
            )


def known_records() -> list[dict[str, Any]]:
    """Return the records so far."""
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()] if JOURNAL.exists() else []


def main() -> None:
    """Train and judge the variants that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", help="trains; without it, what is known is judged")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--core-seconds", type=float, default=240, help="of the steps of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/supernet-variants"), help="folder of the reinforced set"
    )
    args = parser.parse_args()
    if args.data_dir:
        plan = make_truth_plan(args.data_dir)
        images = search_images(plan)
        for name in args.variants:
            print(name, flush=True)
            shown = reinforced_images(images, args.work) if VARIANTS[name].reinforced else images
            record = judge(name, plan, shown, args.core_seconds, args.seed)
            with JOURNAL.open("a") as file:
                file.write(json.dumps(record) + "\n")
    print("\n".join(taus(known_records(), table_of(plan_without_images(), known_trainings()))))


if __name__ == "__main__":
    main()
