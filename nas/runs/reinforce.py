"""Reinforce a data set: teachers say what augmented images are, once for all trainings of small networks on them.

Each part of the data set (nas.data.reinforced) is drawn, replayed and shown to the teachers on its own
(nas.runs.teacher_answers), here or on workers, so that a stopped work goes on with the next part. What teachers say is
averaged over them, as probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.data import Dataset
from nas.data.pipeline import signature
from nas.data.reinforced import Reinforcement, Teacher, begin, missing_parts, write_stored
from nas.data.replay import Recipe
from nas.errors import InvalidInput
from nas.export.weight_files import read_weights
from nas.nn.weight_file import digest_of
from nas.records.locks import locked
from nas.records.networks import arch_of, is_run, is_training
from nas.records.signatures import signature_of
from nas.records.trainings import training_of_run
from nas.runs.teacher_answers import InProcessMakers, LoadedTeacher, OpenMakers, TeachingPayload

WEIGHTS_SIGN = "="  # NETWORK=FILE: a network with the weights in a file


@dataclass(frozen=True)
class ReinforceConfig:
    """What is asked for: the teachers, and how many samples of each image with how many probabilities."""

    teachers: tuple[str, ...]
    samples: int = 16
    top_k: int = 10
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.teachers:
            raise InvalidInput("a data set is reinforced by a teacher; name one with --teacher")


def load_teacher(text: str, dataset: Dataset) -> LoadedTeacher:
    """Return the teacher that `text` names: a training, a run whose network was trained, or NETWORK=FILE of weights.

    `InvalidInput` where it has other classes than `dataset`, or takes other channels.
    """
    network, _, file = text.partition(WEIGHTS_SIGN)
    source = Path(file or network)
    if not file and is_run(network) and not is_training(network):
        found = training_of_run(Path(network))
        if found is None:
            raise InvalidInput(f"the network of {network} was not trained; train it first: nas train {network}")
        source, network = found, str(found)
    if not file and not is_training(network):
        raise InvalidInput(
            f"a teacher must be a training, a run, or NETWORK{WEIGHTS_SIGN}FILE of weights, got '{text}'"
        )
    arch = arch_of(network)
    if arch.num_classes != dataset.num_classes:
        raise InvalidInput(
            f"the teacher {text} knows {arch.num_classes} classes, {dataset.name} has {dataset.num_classes}; train it "
            "on these first: nas train NETWORK --weights FILE"
        )
    channels = arch.input_shape.channels
    if dataset.channels not in (1, channels):
        raise InvalidInput(f"the teacher {text} takes {channels} channels, {dataset.name} has {dataset.channels}")
    weights = read_weights(source, arch)[0]
    known = (signature_of(source) if source.is_dir() else None) or signature(dataset, arch.input_shape)
    about = Teacher(arch.name or Path(network).name, arch.digest, digest_of(weights), str(arch.input_shape.size.json))
    return LoadedTeacher(about, arch, weights, known)


def reinforcement(
    data: str, dataset: Dataset, config: ReinforceConfig, teachers: Sequence[LoadedTeacher]
) -> Reinforcement:
    """Return what the reinforced data set will be of; `InvalidInput` for data that are no images of classes.

    The images are augmented, and shown to the teachers, as `dataset` has them: image files at its size.
    """
    if dataset.replays is not None:
        raise InvalidInput(f"{data} is reinforced already; name the images that it is of, and another --out")
    if not dataset.is_images or not dataset.has_classes:
        what = dataset.kind if not dataset.is_images else f"images for {dataset.task.kind}"
        raise InvalidInput(f"{dataset.name} holds {what}; images of classes are reinforced: name a data set of them")
    return Reinforcement(
        data, dataset.digest, len(dataset.y_train), dataset.num_classes, str(dataset.resolution),
        tuple(one.about for one in teachers), config.recipe, config.samples, min(config.top_k, dataset.num_classes),
        config.seed, dataset.framing,
    )  # fmt: skip


def reinforce(
    about: Reinforcement, dataset: Dataset, teachers: Sequence[LoadedTeacher], out: Path,
    advance: Callable[[int, int, str], None] = lambda *_: None, makers: OpenMakers = InProcessMakers,
) -> None:  # fmt: skip
    """Write the parts of the reinforced data set `about` that are missing in `out`; `advance` hears of each.

    `makers` opens what makes them, this process or workers; the bytes are the same. A part that no worker can make is
    left out, and `InvalidInput` raised after all others.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        begin(out, about)
        missing = missing_parts(out, about)
        if not missing:
            return
        failed: list[int] = []
        with makers(TeachingPayload.of(about, dataset.x_train, teachers)) as opened:
            found = opened.evaluate([about.rows(part) for part in missing])
            for done, (part, stored) in enumerate(zip(missing, found, strict=True), about.parts - len(missing) + 1):
                if stored is None:
                    failed.append(part)
                    continue
                write_stored(out, part, stored)
                advance(done - len(failed), about.parts, f"{stored.size:,} samples written")
            if failed:
                errors = [one.error for one in getattr(opened, "given_up", ())]
                raise InvalidInput(
                    f"part {failed[0]} of {out} was given up ({errors[0] if errors else 'its worker died'}); the same "
                    "command goes on with it"
                )
