"""Random forest on counts of kernels, for latency or energy: Speckhard et al. 2022, arXiv 2202.05397.

scikit-learn grows the trees on logarithms of the measured values. They are stored in a JSON file of plain numbers and
evaluated here, so that no file is unpickled and a prediction needs no scikit-learn. A forest cannot extrapolate: no
prediction leaves the range of the measurements.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import Roofline
from latency_models.workload import Array, Workload
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import read_json
from nas.ops import KINDS, Kernel, Kind

SCHEMA = "nas.forest"
VERSION = 1
SUFFIX = ".forest.json"
Quantity = Literal["latency", "energy"]
UNITS: Mapping[Quantity, str] = {"latency": "ms", "energy": "mJ"}
TREES = 100
SEED = 0
COLUMNS = ("children_left", "children_right", "feature", "threshold", "value")
LARGEST_COUNT = 2**31 - 1
LARGEST_LOGARITHM = 100  # of a prediction in ms or mJ: e**-100 to e**100
LEAF, NO_FEATURE = -1, -2  # scikit-learn's marks of a node without children
ELEMENTS = Roofline("elements", 1.0, 1.0)  # a byte for every element, no kind free
SUMS = ("count", "macs", "weights", "reads", "writes")  # per kind, and over all kernels


def feature_names() -> tuple[str, ...]:
    """Return the names of the P features, in order."""
    each = [f"{kind}.{name}" for kind in KINDS for name in (*SUMS, "largest_map")]
    return (*each, *(f"all.{name}" for name in SUMS), "all.peak_activation")


def features_of(archs: Sequence[ArchSpec], batches: Sequence[int]) -> Array:
    """Return the features [N, P] of networks at their batch sizes, counted on the kernels alone.

    MACs and activation elements are those of the whole batch, as is the largest feature map that a kernel writes.
    """
    workload = Workload.of(archs, batches, ELEMENTS)
    kernels = [kernel for arch in archs for kernel in arch.kernels]
    images = np.asarray(batches, np.float64)[workload.network]

    def counted(name: str) -> Array:
        return np.array([getattr(kernel, name) for kernel in kernels], np.float64)

    values = (np.ones(len(kernels)), workload.macs, counted("weights"), *(counted(n) * images for n in SUMS[3:]))
    sums = [workload.per_kind(each) for each in values]
    largest = np.zeros((len(archs), len(KINDS)))
    np.maximum.at(largest, (workload.network, workload.kind), images * [_written(kernel) for kernel in kernels])
    per_kind = np.stack([*sums, largest], axis=2).reshape(len(archs), -1)
    peak = np.array([arch.peak_activation_elements for arch in archs]) * np.asarray(batches)
    return np.column_stack([per_kind, *(each.sum(1) for each in sums), peak])


def _written(kernel: Kernel) -> int:
    return kernel.out_shape.elements


@dataclass(frozen=True, eq=False)
class Tree:
    """One regression tree of M nodes; the root is node 0 and every child comes after its parent.

    A sample goes left where its feature is at most the threshold. `value` is the prediction of a leaf.
    """

    children_left: NDArray[np.intp]  # [M], -1 at a leaf
    children_right: NDArray[np.intp]
    feature: NDArray[np.intp]  # [M], -2 at a leaf
    threshold: Array
    value: Array


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees over named features whose mean is the logarithm of a quantity of one network at batch size `batch`."""

    of: Quantity
    batch: int
    networks: int  # measured networks that it was grown on
    features: tuple[str, ...]
    trees: tuple[Tree, ...]
    cross_validated_mape_percent: float | None = None  # of unseen networks; None in files from before it was stored
    kinds: tuple[Kind, ...] | None = None  # of the kernels of the measured networks; None in files from before that

    @property
    def range(self) -> tuple[float, float]:
        """Bounds on all predictions, in `unit`: the means over trees of their smallest and of their largest leaves."""
        leaves = [tree.value[tree.children_left == LEAF] for tree in self.trees]
        low, high = (float(np.mean([extreme(each) for each in leaves])) for extreme in (np.min, np.max))
        return math.exp(low), math.exp(high)

    @property
    def error_note(self) -> str:
        """The cross-validated error as a line of text; it goes into best.json, where its words stay as they are."""
        if self.cross_validated_mape_percent is None:
            return "its held-out error is not stored; calibrate again to have it"
        return f"held-out error {self.cross_validated_mape_percent:.1f} % (MAPE) on {self.networks} measured networks"

    def caution(self, archs: Iterable[ArchSpec]) -> str | None:
        """Return which kinds of kernels of these networks no measured one had, whose part is not predicted; or None."""
        used = {kernel.kind for arch in archs for kernel in arch.kernels}
        unknown = [kind for kind in KINDS if kind in used and kind not in (self.kinds or KINDS)]
        if not unknown:
            return None
        return f"none of its {self.networks} networks had {' or '.join(unknown)} kernels, whose {self.of} it leaves out"

    @property
    def unit(self) -> str:
        """ms or mJ of a whole batch."""
        return UNITS[self.of]

    @cached_property
    def _flat(self) -> tuple[NDArray[np.intp], Tree]:
        """Return the nodes of all roots, and all trees joined into one whose leaves are their own children."""
        sizes = [len(tree.value) for tree in self.trees]
        starts = np.cumsum([0, *sizes])[:-1]
        offset = np.repeat(starts, sizes)
        joined = {name: np.concatenate([getattr(tree, name) for tree in self.trees]) for name in COLUMNS}
        leaf = joined["children_left"] == LEAF
        for name in COLUMNS[:2]:
            joined[name] = np.where(leaf, np.arange(len(leaf)), joined[name] + offset)
        joined["feature"] = np.where(leaf, 0, joined["feature"])
        return starts, Tree(**joined)

    def logarithms(self, features: Array) -> Array:
        """Return the predicted logarithms [N] for features [N, P]; features in 32 bits, as scikit-learn has them.

        All samples go down all trees at once, one level per turn, until none moves any more: leaves lead to themselves.
        """
        roots, tree = self._flat
        seen = np.asarray(features, np.float32)
        rows = np.arange(len(seen))[:, None]
        at = np.tile(roots, (len(seen), 1))  # [N, trees]
        while True:
            left = seen[rows, tree.feature[at]] <= tree.threshold[at]
            below = np.where(left, tree.children_left[at], tree.children_right[at])
            if np.array_equal(below, at):
                return np.asarray(tree.value[at].mean(1))
            at = below

    def predict(self, archs: Sequence[ArchSpec]) -> Array:
        """Return the predictions [N] for networks, in `unit`, of one batch each."""
        return np.exp(self.logarithms(features_of(archs, [self.batch] * len(archs))))


def forest_text(forest: Forest) -> str:
    """Return the text of a forest's file, which `load_forest` reads back as the same forest."""
    trees = [{name: getattr(tree, name).tolist() for name in COLUMNS} for tree in forest.trees]
    head = {"schema": SCHEMA, "version": VERSION, "of": forest.of, "batch": forest.batch, "networks": forest.networks}
    if forest.cross_validated_mape_percent is not None:
        head["held_out_mape_percent"] = forest.cross_validated_mape_percent
    if forest.kinds is not None:
        head["kinds"] = list(forest.kinds)
    return json.dumps({**head, "features": list(forest.features), "trees": trees}, allow_nan=False) + "\n"


def load_forest(path: Path) -> Forest:
    """Return the forest in a file; raises `InvalidInput` where it is none or its trees are inconsistent."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InvalidInput(f"{path} is no forest: the field 'schema' must be '{SCHEMA}'; nas calibrate writes one")
    if data.get("version") != VERSION:
        raise InvalidInput(f"{path}: forest version {data.get('version')!r:.20} is not supported; this reads {VERSION}")
    fields = {"schema", "version", "of", "batch", "networks", "features", "trees"}
    if wrong := sorted(fields ^ (set(data) - {"held_out_mape_percent", "kinds"})):
        raise InvalidInput(f"{path}: the field '{wrong[0]}' is missing or not one of a forest; calibrate again")
    if data["of"] not in get_args(Quantity):
        raise InvalidInput(f"{path}: of must be one of {', '.join(get_args(Quantity))}, got {data['of']!r:.60}")
    for name in ("batch", "networks"):
        if type(data[name]) is not int or not 1 <= data[name] <= LARGEST_COUNT:
            raise InvalidInput(
                f"{path}: {name} must be a whole number from 1 to {LARGEST_COUNT}, got {data[name]!r:.60}"
            )
    error = data.get("held_out_mape_percent")
    if error is not None and not (_finite(error) and error >= 0):
        raise InvalidInput(f"{path}: held_out_mape_percent must be a number of at least 0, got {error!r:.60}")
    kinds = data.get("kinds")
    if kinds is not None and not (isinstance(kinds, list) and kinds and all(kind in KINDS for kind in kinds)):
        raise InvalidInput(f"{path}: kinds must be of {', '.join(KINDS)}, got {kinds!r:.60}")
    if data["features"] != list(feature_names()):
        raise InvalidInput(f"{path}: its features are not those of this release; calibrate again")
    if not (isinstance(data["trees"], list) and data["trees"]):
        raise InvalidInput(f"{path}: trees must be a list of at least one tree, got {data['trees']!r:.60}")
    trees = tuple(_tree(tree, f"{path}: tree {i}") for i, tree in enumerate(data["trees"]))
    return Forest(data["of"], data["batch"], data["networks"], feature_names(), trees, error, kinds and tuple(kinds))


def _tree(data: Any, where: str) -> Tree:
    """Return a tree after checking it: every node but the root has one parent, which comes before it."""
    if not isinstance(data, dict) or set(data) != set(COLUMNS):
        raise InvalidInput(f"{where} must have exactly the fields {', '.join(COLUMNS)}")
    if not (all(isinstance(data[name], list) for name in COLUMNS) and data["value"]):
        raise InvalidInput(f"{where} must hold lists of at least one node")
    if any(len(a) != len(b) for a, b in pairwise(data[name] for name in COLUMNS)):
        raise InvalidInput(f"{where}: its {len(COLUMNS)} lists must be of one length")
    for name in COLUMNS:
        for item in data[name]:
            if not (type(item) is int if name in COLUMNS[:3] else _finite(item)):
                kind = "whole" if name in COLUMNS[:3] else "finite"
                raise InvalidInput(f"{where}: {name} must be {kind} numbers, got {item!r:.60}")
    if extreme := next((value for value in data["value"] if abs(value) > LARGEST_LOGARITHM), None):
        raise InvalidInput(
            f"{where}: value must be logarithms of at most {LARGEST_LOGARITHM} in amount, got {extreme!r:.60}: a "
            "prediction is a positive number"
        )
    if wrong := next(_broken(data), None):
        raise InvalidInput(f"{where}: {wrong}")
    types: dict[str, type] = dict.fromkeys(COLUMNS, np.float64) | dict.fromkeys(COLUMNS[:3], np.intp)
    return Tree(**{name: np.array(data[name], types[name]) for name in COLUMNS})


def _finite(item: Any) -> bool:
    """Return whether a JSON value is a finite number."""
    try:
        return type(item) in (int, float) and math.isfinite(item)
    except OverflowError:  # a whole number beyond every float
        return False


def _broken(data: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield one line for each reason why the nodes are not a tree over the features."""
    count, known = len(data["value"]), len(feature_names())
    children = []
    for node, (left, right, feature) in enumerate(zip(*(data[name] for name in COLUMNS[:3]), strict=True)):
        if left == right == LEAF:
            if feature != NO_FEATURE:
                yield f"node {node} has no children, so its feature must be {NO_FEATURE}, got {feature}"
            continue
        if not (node < left < count and node < right < count):
            yield f"the children of node {node} must come after it and before {count}, got {left} and {right}"
        if not 0 <= feature < known:
            yield f"the feature of node {node} must be from 0 to {known - 1}, got {feature}"
        children += [left, right]
    if sorted(children) != list(range(1, count)):
        yield "every node but the first must be the child of exactly one other"
