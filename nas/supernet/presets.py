"""Presets of a search: how long it runs and on what proxy, as `smoke`, `quick`, `standard` and `paper`.

MobileNetV4 (arXiv 2404.10518, section 6.1) publishes neither how the budget is split between the two stages nor the
controller's constants: the splits below are ours. `paper` keeps TuNAS's optimizer and a length for accelerators.
`smoke` goes through every phase in seconds, on a space that compiles in seconds (`uib_smoke`), and finds nothing.
"""

import math
from dataclasses import dataclass, replace

from nas.errors import InvalidInput, unknown_name
from nas.ops import Size, SizeLike
from nas.search.schedulers import halving
from nas.training.optimizers import AdamW, OptimizerConfig, RMSProp

FINE_COST = 0.42  # processor time of a step of the fine stage, of a coarse one or one over the whole space
MIN_CANDIDATES = 6  # of the coarse stage, for a choice among them
VERDICT_START_S, GMAC_CORE_S = 40.0, 0.25  # processor seconds of a verdict: to compile both, per 1e9 MACs of one
RANDOM_SHARE = 2 / 3  # of the coarse candidates are random architectures of the whole space


@dataclass(frozen=True)
class StageBudget:
    """Length of one stage of a joint search: controller steps, each after `updates` steps of the shared weights."""

    steps: int
    updates: int = 2
    samples: int = 8  # architectures per controller step
    steps_per_dispatch: int = 10  # controller steps per dispatch; a checkpoint can stand between two dispatches
    policy_warmup_fraction: float = 0.25  # of the steps, during which the policy stays uniform
    averages: bool = True  # warm up depthwise options by their average, which takes longer to compile; else by sampling


@dataclass(frozen=True)
class RetrainingBudget:
    """Budget of candidate re-training: how many of each stage, and the epochs at which a third of them goes on.

    The best of the coarse stage takes part again among those of the fine stage.
    """

    coarse: int
    fine: int
    random: int = 0  # of the coarse ones, sampled uniformly from the whole space, whatever supernet and policy prefer
    rungs: tuple[int, ...] = (1, 2, 4)  # epochs, ascending; the last is a whole training

    def description(self, one_stage: bool = False) -> tuple[str, ...]:
        """Return a line about each stage, for the text of a plan."""
        sampled = f", {self.random} of them sampled from the whole space" if self.random else ""
        if one_stage:
            count = self.coarse + self.fine
            return (f"finalists: {count} trained alone{sampled}, {self._rungs(count)}",)
        return (
            f"coarse finalists: {self.coarse} trained alone{sampled}, {self._rungs(self.coarse)}",
            f"fine finalists: {self.fine} more against the best of those, {self._rungs(self.fine)}",
        )

    def _rungs(self, candidates: int) -> str:
        """Return how many candidates go on to each rung, as text."""
        steps = zip(halving.alive(candidates, self.rungs), self.rungs, strict=True)
        return ", then ".join(f"{alive} to epoch {rung}" for alive, rung in steps)


@dataclass(frozen=True)
class Preset:
    """Budget of a whole search: both stages, the proxy, the training of shared weights, and candidate re-training."""

    name: str
    coarse: StageBudget
    fine: StageBudget
    batch: int  # images per weight update
    reward_batch: int  # validation images per reward
    eval_images: int  # validation images for the accuracies that are reported
    eval_batch: int  # images over which normalisation statistics are taken in evaluation
    front_size: int  # distinct architectures evaluated after the fine stage
    proxy_resolution: int  # largest side of square images; those smaller than this are not enlarged beyond 16 px
    proxy_width: float
    optimizer: OptimizerConfig
    retraining: RetrainingBudget | None = None  # candidates that are trained alone, to choose among them
    accuracy_model: str | None = None  # that chooses which networks are trained alone, in place of the two stages
    compilation_steps: int = 70  # that take as long as one stage compiles longer than two
    trial_steps: int = 48  # of the shortest training alone, at least: with few images it has several epochs
    validation_fraction: float = 0.2
    verdict_gmacs: float = 0.0  # of training that network found and baseline get at most, each; 0: none is trained
    label_smoothing: float = 0.1
    warmup_fraction: float = 0.025
    xla_options: tuple[tuple[str, int | bool], ...] = ()  # for the programs of the search

    @property
    def whole(self) -> StageBudget:
        """The length of a search in one stage, which takes as long as both together, compilation included."""
        more = FINE_COST * self.fine.steps - self.compilation_steps
        dispatches = max(0, round(more / self.coarse.steps_per_dispatch))
        return replace(self.coarse, steps=self.coarse.steps + dispatches * self.coarse.steps_per_dispatch)

    @property
    def compiler_options(self) -> dict[str, int | bool] | None:
        """The argument `compiler_options` of `jax.jit`."""
        return dict(self.xla_options) or None

    @property
    def verdict_core_s(self) -> float:
        """Expected processor seconds of the verdict at the end, 0 where there is none."""
        return VERDICT_START_S + 2 * GMAC_CORE_S * self.verdict_gmacs if self.verdict_gmacs > 0 else 0.0

    def with_verdict_within(self, core_s: float) -> "Preset":
        """Return the preset with a verdict of at most so many processor seconds; none where they are too few."""
        most = max(0.0, (core_s - VERDICT_START_S) / (2 * GMAC_CORE_S))
        return replace(self, verdict_gmacs=min(self.verdict_gmacs, most))

    def with_longer_trials(self, times: int) -> "Preset":
        """Return the preset whose candidates are trained alone for so many times the epochs."""
        retraining = self.retraining
        if retraining is None or times == 1:
            return self
        longer = replace(retraining, rungs=tuple(times * epochs for epochs in retraining.rungs))
        return replace(self, retraining=longer)

    def with_finalists(self, coarse: int | None) -> "Preset":
        """Return the preset with `coarse` candidates of the coarse stage re-trained, and a third as many of the fine.

        0 means none, None what the preset has. `InvalidInput` where they are too few for a choice.
        """
        if coarse is None:
            return self
        if coarse == 0:
            return replace(self, retraining=None)
        if coarse < MIN_CANDIDATES:
            raise InvalidInput(f"finalists must be at least {MIN_CANDIDATES}, or 0 for none, got {coarse}")
        return replace(self, retraining=RetrainingBudget(coarse, coarse // 3, round(RANDOM_SHARE * coarse)))


SMALLEST_PROXY = 16  # px, but for presets that ask for less
SMALLEST_REQUESTED = 8  # px of a side, or steps

QUICK = Preset(
    name="quick",
    coarse=StageBudget(steps=120, averages=False),
    fine=StageBudget(steps=240, averages=False),
    batch=64,
    reward_batch=64,
    eval_images=256,
    eval_batch=128,
    front_size=256,
    proxy_resolution=16,
    proxy_width=0.25,
    optimizer=AdamW(learning_rate=4e-3),
    verdict_gmacs=100.0,
)
STANDARD = replace(
    QUICK,
    name="standard",
    accuracy_model="ridge",
    verdict_gmacs=400.0,
    coarse=StageBudget(steps=400),
    fine=StageBudget(steps=800),
    eval_images=1024,
).with_finalists(18)
PAPER = Preset(
    name="paper",
    coarse=StageBudget(steps=20_000, updates=1, samples=16, steps_per_dispatch=100),
    fine=StageBudget(steps=40_000, updates=1, samples=16, steps_per_dispatch=100),
    batch=1024,
    reward_batch=1024,
    eval_images=10_000,
    eval_batch=1000,
    front_size=1024,
    proxy_resolution=224,
    proxy_width=1.0,
    optimizer=RMSProp.for_batch(1024),
    validation_fraction=0.1,
    verdict_gmacs=100_000.0,
)
SMOKE = replace(
    QUICK,
    name="smoke",
    verdict_gmacs=0.0,
    coarse=StageBudget(steps=16, updates=1, samples=2, steps_per_dispatch=2, averages=False),
    fine=StageBudget(steps=16, updates=1, samples=2, steps_per_dispatch=2, averages=False),
    batch=16,
    reward_batch=16,
    eval_images=64,
    eval_batch=32,
    front_size=64,
    proxy_resolution=8,
    compilation_steps=0,
    trial_steps=1,
    xla_options=(("xla_backend_optimization_level", 0), ("xla_cpu_use_fusion_emitters", False)),  # compile fast
)
PRESETS = {preset.name: preset for preset in (SMOKE, QUICK, STANDARD, PAPER)}


def load_preset(name: str) -> Preset:
    """Return the preset `name`; `UnknownName` where there is none."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def proxy_size(
    preset: Preset, data: Size, target: Size, requested: SizeLike | None, *, images: bool, waveforms: bool = False
) -> Size:
    """Return height and width of the proxies' input: `requested`, else by the preset and the sizes of data and target.

    Images keep the proportions of the target: the shorter side is the data's, limited to 16 px and the preset's
    largest. Height and width of maps are scaled apart, each down to the preset's largest; a sequence keeps as many
    steps as square images have pixels, but for a waveform, which is kept as it is: fewer of its samples are another
    sound. Raises `InvalidInput` for sides below 8, and for a sequence out of a map.
    """
    if requested is not None:
        asked = Size.of(requested)
        if waveforms and asked != target:
            raise InvalidInput(f"proxies of waveforms keep their {target.text}; leave --proxy-resolution out")
        if asked.is_sequence != target.is_sequence:
            raise InvalidInput(f"the proxy resolution must be of a kind with {target.text}, got {asked.text}")
        if (asked.height if asked.is_sequence else min(asked)) < SMALLEST_REQUESTED:
            unit = "steps" if asked.is_sequence else "px"
            raise InvalidInput(f"the proxy resolution must be at least {SMALLEST_REQUESTED} {unit}, got {asked}")
        return asked
    if waveforms:
        return target
    most = preset.proxy_resolution
    if target.is_sequence:
        return Size(min(target.height, most**2), 1)
    if not images:
        return Size(*(min(side, most) for side in target))
    side = min(max(min(data), SMALLEST_PROXY), most)
    return Size(*(round(each * side / min(target)) for each in target))


def proxy_scale(proxy: Size, width: float) -> float:
    """Return by how much an image takes longer at this size and width of the proxy than in `quick`."""
    return (math.sqrt(proxy.positions) / QUICK.proxy_resolution * width / QUICK.proxy_width) ** 2
