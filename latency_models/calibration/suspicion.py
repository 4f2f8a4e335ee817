"""Which ops may explain why some networks are measured far slower than predicted: a suspicion, with its evidence.

A runtime leaves ops that the accelerator does not run to the CPU, and a latency model that counts MACs and bytes knows
nothing of it. What is measured beyond the prediction is attributed to the ops and activations of the networks by
non-negative least squares; those that get much of it are named with how many of the slow networks have them, and how
many of the others. Ops that occur in the same networks cannot be separated, and are named together. Where the networks
are too few to tell, that is said, with the ops that are in question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import nnls

from latency_models.unsupported import WORDS, Unsupported, activations
from latency_models.workload import Array
from nas.arch import ArchSpec
from nas.ops import KINDS, Op

FAR = 0.25  # of the prediction: no less counts as far above it, however narrow the interval is
LEAST_SHARE = 0.2  # of the excess, from which an op is named
CHANCE = 0.1  # probability of such a table by chance, from which it is no evidence
SUSPECTED = "suspected"  # begins a sentence that names ops
NAMES = {"hswish": "h-swish", "relu": "ReLU", "relu6": "ReLU6", "swish": "swish", **WORDS}


class Fitted(NamedTuple):
    """Networks that a prediction was fitted to, with what it says of them: these take about what is predicted."""

    archs: Sequence[ArchSpec] = ()
    predicted_ms: Sequence[float] | Array = ()
    measured_ms: Sequence[float] | Array = ()


@dataclass(frozen=True)
class Suspicion:
    """Ops or activations that occur in the same networks, and what speaks for them as the cause of the excess."""

    names: tuple[str, ...]  # as a reader knows them
    share: float  # of the time beyond the prediction that the attribution gives them, 0 to 1
    in_slow: tuple[int, int]  # slow networks that have it, of how many
    in_others: tuple[int, int]
    factor: float  # median of measured / predicted of the slow networks that have it
    chance: float  # probability of such a table by chance (Fisher's exact test, one-sided)
    known: str = ""  # what the file of the target says of it

    @property
    def is_evidence(self) -> bool:
        """Whether such a table is unlikely by chance."""
        return self.chance <= CHANCE

    @property
    def separates(self) -> bool:
        """Whether all slow networks have it, and none of the others."""
        return self.in_slow[0] == self.in_slow[1] and not self.in_others[0]

    @property
    def text(self) -> str:
        """The suspicion in one sentence, as such."""
        has, slow = self.in_slow
        also, others = self.in_others
        verb = "occurs" if len(self.names) == 1 else "occur"
        apart = "" if len(self.names) == 1 else " (always together here, so not told apart)"
        if slow == 1:
            where = f"the one network that takes {self.factor:.1f} times its prediction"
        else:
            every = f"all {slow}" if has == slow else f"{has} of the {slow}"
            where = f"{every} networks that take {self.factor:.1f} times their prediction"
        elsewhere = f"none of the {others}" if not also else f"{also} of the {others}"
        single = "; one network is little evidence: measure another with it" if has == 1 else ""
        return (
            f"{SUSPECTED}: {' and '.join(self.names)}{apart} {verb} in {where}, in {elsewhere} others; "
            f"{self.share:.0%} of the excess is attributed to it{f'; {self.known}' if self.known else ''}{single}"
        )


def suspicions(
    archs: Sequence[ArchSpec],
    predicted_ms: Sequence[float] | Array,
    measured_ms: Sequence[float] | Array,
    *,
    interval: float | None = None,
    unsupported: Sequence[Unsupported] = (),
    fitted: Fitted | None = None,
) -> tuple[str, ...]:
    """Return a sentence for each op that may explain why networks [N] are slower than predicted, the likeliest first.

    `interval` is the relative half-width of a prediction, beyond which a network is far above it. Where all of them are
    slower by one factor, that is said instead. Nothing where none is. The networks that the predictions were `fitted`
    to show what others without the cause take.
    """
    predicted, measured = np.asarray(predicted_ms, np.float64), np.asarray(measured_ms, np.float64)
    ratios, most = measured / predicted, 1 + max(FAR, interval or 0.0)
    if not (ratios > most).any():
        return ()
    slow = ratios > most * max(1.0, float(ratios.min()))  # the fastest stand for the device without the cause
    common = "" if slow.any() or len(ratios) == 1 or not (ratios > most).all() else _common_factor(ratios)
    if fitted and len(fitted.archs):
        slow = np.concatenate([slow if slow.any() else ratios > most, np.zeros(len(fitted.archs), np.bool_)])
        archs = [*archs, *fitted.archs]
        predicted = np.concatenate([predicted, np.asarray(fitted.predicted_ms, np.float64)])
        ratios = np.concatenate([ratios, np.asarray(fitted.measured_ms, np.float64) / predicted[-len(fitted.archs) :]])
    if not slow.any():
        return (common,) if common else ()
    found = _suspected(archs, slow, ratios, predicted, unsupported)
    if common:
        return (common, *(one.text for one in found if one.is_evidence and one.separates))
    if evident := [one.text for one in found if one.is_evidence]:
        return tuple(evident)
    count = f"{slow.sum()} of {len(slow)} networks {'is' if slow.sum() == 1 else 'are'} far slower than predicted"
    if in_question := [" and ".join(one.names) for one in found if one.separates]:
        has = "it alone has" if slow.sum() == 1 else "they alone have"
        return (
            f"{count}, and {has} {', '.join(in_question)}: too few networks to tell whether that is why; measure more "
            "with and without it",
        )
    which = "it" if slow.sum() == 1 else "them"
    return (
        f"{count}, and no op tells {which} from the others; measure more networks with and without the ops that "
        f"{'it has' if slow.sum() == 1 else 'they have'}",
    )


def _common_factor(ratios: Array) -> str:
    """Return the sentence for networks that are all slower than predicted, by about one factor."""
    low, high = f"{ratios.min():.2f}", f"{ratios.max():.2f}"
    factor = low if low == high else f"{low} to {high}"
    return (
        f"all {len(ratios)} networks take {factor} times their prediction, whatever they are made of: rather "
        "another clock, number of threads, other work on the machine, or another device than one op"
    )


def _suspected(
    archs: Sequence[ArchSpec], slow: NDArray[np.bool_], ratios: Array, predicted: Array,
    unsupported: Sequence[Unsupported],
) -> list[Suspicion]:  # fmt: skip
    """Return what gets much of the excess of networks [N] of which some are `slow`, the largest share first."""
    traits = [_traits(arch) for arch in archs]
    names = sorted({name for one in traits for name in one})
    counts = np.array([[one.get(name, 0) for name in names] for one in traits], np.float64)
    groups: dict[bytes, list[int]] = {}
    for column in range(len(names)):
        groups.setdefault((counts[:, column] > 0).tobytes(), []).append(column)
    columns = [group for group in groups.values() if 0 < (counts[:, group[0]] > 0).sum() < len(archs)]
    if not columns or slow.all():
        return []
    excess = np.clip(ratios / np.median(ratios[~slow]) - 1, 0, None) * predicted
    amounts = np.column_stack([counts[:, group].sum(1) for group in columns])
    scales = amounts.max(0)
    rates = nnls(amounts / scales, excess)[0] / scales
    attributed = (amounts * rates).sum(0)
    shares = attributed / max(float(attributed.sum()), 1e-12)
    found = []
    for group, share in zip(columns, shares, strict=True):
        has = counts[:, group[0]] > 0
        if share < LEAST_SHARE or not (has & slow).any():
            continue
        table = [
            [int((has & slow).sum()), int((~has & slow).sum())],
            [int((has & ~slow).sum()), int((~has & ~slow).sum())],
        ]
        keys = [names[column] for column in group]
        found.append(
            Suspicion(
                tuple(NAMES.get(key, key.replace("_", " ")) for key in keys), float(share),
                (table[0][0], sum(table[0])), (table[1][0], sum(table[1])), float(np.median(ratios[has & slow])),
                float(stats.fisher_exact(table, alternative="greater").pvalue), _known(keys, unsupported),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: -one.share)


def _known(keys: Sequence[str], unsupported: Sequence[Unsupported]) -> str:
    """Return what the file of the target says of an op or activation, "" where it says nothing."""
    said = [
        f"the target's file says of it: {one.consequence} ({one.source})" for one in unsupported if one.name in keys
    ]
    return "; ".join(said)


def _traits(arch: ArchSpec) -> dict[str, int]:
    """Return what `arch` is made of: ops, activations, layers and windows by name, with the number of each."""
    found: dict[str, int] = {}
    for op in (*(op for _, op, _ in arch.iter_ops()), arch.head):
        for name in _traits_of(op):
            found[name] = found.get(name, 0) + 1
    for kind in KINDS:
        count = sum(kernel.kind == kind for kernel in arch.kernels)
        if count:
            found[f"{kind} kernels"] = count
    return found


def _traits_of(op: Op) -> Iterator[str]:
    """Yield the names of an op, its activations, and the layers that it may lack."""
    if getattr(op, "tag", ""):
        yield op.tag
    yield from (name for name in activations(op) if name != "none")
    if getattr(op, "se_channels", 0):
        yield "squeeze-excite"
    if getattr(op, "ca_channels", 0):
        yield "coordinate attention"
    yield from (f"{size}x{size} windows" for size in sorted({size for size in op.windows if size > 1}))
