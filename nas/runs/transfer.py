"""A training that starts from another one, across data sets and networks: what is taken of its weights.

Tensors are matched by name. One of the same shape is taken whole; of a narrower or wider layer the leading entries
along each axis, as many as both have, and what is beyond them begins at random. The classifier is taken only where both
know the same classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec, load_arch
from nas.data import Dataset
from nas.errors import InvalidInput
from nas.nn.network import CLASSIFIER, get_weights, load_weights, random_network, zero_init_residuals
from nas.records.networks import is_run, is_training
from nas.records.signatures import signature_of
from nas.records.trainings import training_of_run
from nas.runs.single_training import TrainingSubject

SHOWN = 4  # names in a line
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Pretrained:
    """The weights of a training, the classes that its network knows, and the folder."""

    folder: Path
    arch: ArchSpec
    weights: Weights
    class_names: tuple[str, ...]


def pretrained_of(text: str) -> Pretrained:
    """Return the training that `text` names: its folder, or a run whose network was trained."""
    folder = Path(text)
    if is_run(text) and not is_training(text):
        found = training_of_run(folder)
        if found is None:
            raise InvalidInput(f"the network of {text} was not trained; train it first: nas train {text}")
        folder = found
    if not is_training(str(folder)):
        raise InvalidInput(f"{text} is no finished training to start from; a file of weights goes with --weights")
    arch, signature = load_arch(folder / "arch.json"), signature_of(folder)
    weights, _ = load_weights(folder / "weights.safetensors", arch)
    return Pretrained(folder, arch, weights, signature.class_names if signature else ())


def with_outputs_of(arch: ArchSpec, dataset: Dataset) -> ArchSpec:
    """Return `arch` with as many outputs as the data set asks for."""
    return replace(arch, num_classes=dataset.num_classes)


def started_from_training(subject: TrainingSubject, source: str, dataset: Dataset, seed: int) -> TrainingSubject:
    """Return `subject` with the weights of the training `source` that fit, and lines that say which those are."""
    known = pretrained_of(source)
    offered = dict(known.weights)
    same_head = known.class_names == dataset.class_names and known.arch.num_classes == dataset.num_classes
    lines = []
    if same_head:
        offered |= _in_training_units(offered, dataset)
    else:
        offered = {name: value for name, value in offered.items() if name not in CLASSIFIER}
        more = ", ..." if len(known.class_names) > SHOWN else ""
        of = f" ({', '.join(known.class_names[:SHOWN])}{more})" if known.class_names else ""
        lines.append(
            f"classifier replaced: {known.folder} knows {known.arch.num_classes} outputs{of}; "
            f"that for the {dataset.outputs_text} of {dataset.name} begins at random"
        )
    fresh = zero_init_residuals(subject.arch, get_weights(random_network(subject.arch, seed)))
    taken = overlaid(fresh, offered)
    if not taken.whole and not taken.parts:
        raise InvalidInput(f"{known.folder} holds no weights that fit {subject.arch.name or 'the network'}")
    return replace(
        subject, weights=taken.weights, start=f"the weights of {known.folder}", random=taken.random,
        start_lines=(*taken.lines(str(known.folder), CLASSIFIER if not same_head else ()), *lines),
    )  # fmt: skip


def _in_training_units(weights: Mapping[str, Any], dataset: Dataset) -> Weights:
    """Return the classifier of a finished training as one in training has it: outputs in standard deviations."""
    scale = dataset.task.rescaling()
    if scale is None:
        return {}
    mean, std = (np.array(values, np.float64) for values in scale)
    weight, bias = (np.asarray(weights[name], np.float64) for name in CLASSIFIER)
    return dict(
        zip(CLASSIFIER, ((weight / std).astype(np.float32), ((bias - mean) / std).astype(np.float32)), strict=True)
    )


@dataclass(frozen=True)
class Taken:
    """Weights to start from, and which of them were taken whole, in part, or not at all."""

    weights: Weights
    whole: tuple[str, ...]
    parts: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    widened: tuple[str, ...] = ()  # of the parts, those that are larger than what they take

    @property
    def random(self) -> tuple[str, ...]:
        """The names of those that begin at random, all or in part."""
        return (*self.missing, *self.widened)

    def lines(self, source: str, expected: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return what was taken of `source` in lines; the `expected` ones are listed elsewhere."""
        total = len(self.weights)
        parts = f", of {len(self.parts)} the leading channels" if self.parts else ""
        found = [f"weights of {source}: {len(self.whole)} of {total} tensors taken whole{parts}"]
        for what, names in (("begin at random", self.missing), ("not used", self.unused)):
            shown = [name for name in names if name not in expected]
            if shown:
                more = f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else ""
                found.append(f"{what}: {', '.join(shown[:SHOWN])}{more}")
        return tuple(found)


def overlaid(fresh: Mapping[str, Any], offered: Mapping[str, Any]) -> Taken:
    """Return `fresh` with what is `offered` under the same name and as many axes laid over the leading entries."""
    weights, whole, parts, widened = dict[str, Any](), list[str](), list[str](), list[str]()
    for name, value in fresh.items():
        own, other = np.array(value, np.float32), offered.get(name)
        if other is not None and np.ndim(other) == own.ndim:
            common = tuple(slice(min(pair)) for pair in zip(own.shape, np.shape(other), strict=True))
            own[common] = np.asarray(other)[common]
            (whole if np.shape(other) == own.shape else parts).append(name)
            widened += [name] * any(size > given for size, given in zip(own.shape, np.shape(other), strict=True))
        weights[name] = own
    taken = {*whole, *parts}
    missing = tuple(name for name in weights if name not in taken)
    unused = tuple(name for name in offered if name not in taken)
    return Taken(weights, tuple(whole), tuple(parts), missing, unused, tuple(widened))
