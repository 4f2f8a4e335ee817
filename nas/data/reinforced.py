"""A data set with what a teacher says of augmented images beside it: `nas reinforce` writes it, `--data` reads it.

A folder: reinforced.json says of which images, by which teachers and recipe, of image files at which size and framing
too; parts/NNNNN.npy holds for `PART` images each the parameters of S augmentations (nas.data.replay) and the teacher's
K largest probabilities. Parts are functions of what reinforced.json says, so that a stopped work goes on to the same
bytes. Sources: Dataset Reinforcement (arXiv 2303.08983), and the offline distillation of MobileNetV4 (arXiv
2404.10518).
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.input_spec import Framing
from nas.data.replay import UNIT, Recipe, Samples
from nas.errors import InvalidInput
from nas.files import dump_json, read_bytes, read_json, write_whole

SCHEMA, VERSION = "nas.reinforced", 1
FILE, PARTS = "reinforced.json", "parts"
PART = 256  # images in a part
MOST_SAMPLES = 1024  # of an image
ROUNDING = 1e-3  # that a sum of probabilities may exceed 1 by
AGAIN = "make it again with nas reinforce"


@dataclass(frozen=True)
class Teacher:
    """A network that says what augmented images are: its name, and digests of its architecture and its weights."""

    network: str
    arch: str
    weights: str
    size: str  # of its input: "224", or "96x128"


@dataclass(frozen=True)
class Reinforcement:
    """What a reinforced data set is of; all its numbers follow from this."""

    data: str  # as `nas.data.load` takes it
    data_digest: str
    images: int  # of the training set
    classes: int
    size: str  # at which images were augmented, and at which files are decoded
    teachers: tuple[Teacher, ...]
    recipe: Recipe
    samples: int  # of each image
    top_k: int
    seed: int
    framing: Framing | None = None  # of image files

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise InvalidInput(f"the samples of an image must be from 1 to {MOST_SAMPLES:,}, got {self.samples}")
        if not 1 <= self.top_k <= self.classes:
            raise InvalidInput(f"the stored probabilities must be from 1 to {self.classes} classes, got {self.top_k}")

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.images // PART)

    def rows(self, part: int) -> NDArray[np.int64]:
        """Return the numbers of the images in a part."""
        return np.arange(part * PART, min((part + 1) * PART, self.images))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a stored sample."""
        return np.dtype([
            ("matrix", "<f4", (2, 3)), ("colour", "<i4", (5,)), ("partner", "<i4"), ("share", "<i4"),
            ("classes", "<i4", (self.top_k,)), ("probabilities", "<f4", (self.top_k,)),
        ])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the content of reinforced.json."""
        found = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        return found if self.framing else {name: value for name, value in found.items() if name != "framing"}

    @classmethod
    def from_dict(cls, data: Any) -> "Reinforcement":
        """Return what reinforced.json says; `InvalidInput` where that cannot be."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("version") != VERSION:
            raise InvalidInput(f"it must hold the schema '{SCHEMA}' of version {VERSION}; {AGAIN}")
        try:
            body = {name: data[name] for name in (f.name for f in fields(cls)) if name != "framing"}
            recipe = dict(body["recipe"])
            recipe["crop_area"] = tuple(float(one) for one in recipe["crop_area"])
            teachers = tuple(Teacher(**{key: str(value) for key, value in one.items()}) for one in body["teachers"])
            known: dict[str, Any] = {
                name: int(body[name]) for name in ("images", "classes", "samples", "top_k", "seed")
            }
            known |= {name: str(body[name]) for name in ("data", "data_digest", "size")}
            framing = Framing(**data["framing"]) if data.get("framing") is not None else None
            return cls(**known, teachers=teachers, recipe=Recipe(**recipe), framing=framing)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"it is malformed ({error}); {AGAIN}") from error


class Replays(NamedTuple):
    """The samples of N images: how they are augmented, and the K largest probabilities of the teacher for each."""

    samples: Samples  # [N, S]
    classes: NDArray[np.int32]  # [N, S, K]
    probabilities: NDArray[np.float32]  # [N, S, K]
    digest: str = ""  # of reinforced.json and all parts

    @classmethod
    def of(cls, stored: NDArray[Any], digest: str) -> "Replays":
        """Return the samples in stored records [N, S]."""
        samples = Samples._make(np.ascontiguousarray(stored[name]) for name in Samples._fields)
        classes, probabilities = (np.ascontiguousarray(stored[name]) for name in ("classes", "probabilities"))
        return cls(samples, classes, probabilities, digest)

    def of_rows(self, rows: NDArray[Any]) -> "Replays":
        """Return the samples of some images, which may be mixed with one another alone.

        A sample that needs an image which is not among `rows` gives its place to the next of its image that does not.
        """
        place = np.full(len(self.classes), -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        partner = place[self.samples.partner[rows]]
        usable = partner >= 0
        if not usable.any(axis=1).all():
            raise InvalidInput("an image has no sample without an image of the validation set; reinforce with more")
        count = partner.shape[1]
        order = (np.arange(count)[:, None] + np.arange(count)) % count  # of a sample: itself, then the next ones
        chosen = np.take_along_axis(order[None].repeat(len(rows), 0), usable[:, order].argmax(2)[..., None], 2)[..., 0]

        def taken(values: NDArray[Any]) -> NDArray[Any]:
            return np.take_along_axis(values[rows], chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2)), axis=1)

        samples = Samples._make(taken(each) for each in self.samples)
        samples = samples._replace(partner=np.take_along_axis(partner, chosen, axis=1))
        return Replays(samples, taken(self.classes), taken(self.probabilities), self.digest)

    def chosen(self, rows: NDArray[Any], sample: NDArray[Any]) -> tuple["Replays", NDArray[np.int32]]:
        """Return one sample of each of the images `rows` [n], and the images [n] that are mixed into them.

        The result is of 2n images: those of `rows` in this order, then the ones that are mixed into them. The sample
        stands in the place of all S, so that whichever is sampled it is this one, by a program of the same shapes.
        """
        count = self.classes.shape[1]

        def alone(values: NDArray[Any]) -> NDArray[Any]:
            return np.repeat(values[rows, sample][:, None], count, axis=1)

        samples = Samples._make(alone(each) for each in self.samples)
        places = np.arange(len(rows), 2 * len(rows), dtype=np.int32)
        samples = samples._replace(partner=np.repeat(places[:, None], count, axis=1))
        found = Replays(samples, alone(self.classes), alone(self.probabilities), self.digest)
        return found, self.samples.partner[rows, sample]

    def dense(self, classes: int) -> NDArray[np.float32]:
        """Return the probabilities of all classes [N, S, classes]; what is not stored is spread over the others."""
        rest = np.clip(1 - self.probabilities.sum(-1, keepdims=True), 0, 1) / max(1, classes - self.classes.shape[-1])
        found = np.broadcast_to(rest, (*self.classes.shape[:-1], classes)).astype(np.float32)
        np.put_along_axis(found, self.classes, self.probabilities, axis=-1)
        return found / found.sum(-1, keepdims=True)


def is_reinforced(path: Path) -> bool:
    """Return whether a folder is that of a reinforced data set."""
    return (path / FILE).is_file()


def read_reinforcement(folder: Path) -> Reinforcement:
    """Return what the reinforced data set in `folder` is of."""
    try:
        return Reinforcement.from_dict(read_json(folder / FILE))
    except InvalidInput as error:
        raise InvalidInput(f"{folder / FILE}: {error}") from error


def begin(folder: Path, about: Reinforcement) -> None:
    """Begin a reinforced data set in `folder`, or check that it is this very one that was begun there."""
    if is_reinforced(folder):
        stored = read_reinforcement(folder)
        different = [f.name for f in fields(about) if getattr(stored, f.name) != getattr(about, f.name)]
        if different:
            raise InvalidInput(f"{folder} was begun with another {different[0]}; name another folder with --out")
        return
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, dump_json(about.to_dict()))


def missing_parts(folder: Path, about: Reinforcement) -> list[int]:
    """Return the numbers of the parts that are not there yet."""
    return [part for part in range(about.parts) if not _path(folder, part).is_file()]


def write_part(
    folder: Path, about: Reinforcement, part: int, samples: Samples, probabilities: NDArray[np.float32]
) -> None:
    """Write a part: `samples` [n, S] of its images, and the teacher's probabilities of all classes [n, S, classes]."""
    write_stored(folder, part, stored_part(about, samples, probabilities))


def stored_part(about: Reinforcement, samples: Samples, probabilities: NDArray[np.float32]) -> NDArray[Any]:
    """Return the records [n, S] of a part, as `write_part` stores them."""
    # Of equal probabilities the smaller class comes first, so that the order says nothing of the machine.
    classes = np.argsort(-probabilities, axis=-1, kind="stable")[..., : about.top_k].astype(np.int32)
    stored = np.empty(classes.shape[:2], about.dtype)
    for name, values in samples._asdict().items():
        stored[name] = values
    stored["classes"], stored["probabilities"] = classes, np.take_along_axis(probabilities, classes, axis=-1)
    return stored


def write_stored(folder: Path, part: int, stored: NDArray[Any]) -> None:
    """Write the records [n, S] of a part."""
    stream = io.BytesIO()
    np.save(stream, stored, allow_pickle=False)
    (folder / PARTS).mkdir(exist_ok=True)
    write_whole(_path(folder, part), stream.getvalue())


def read_replays(folder: Path, about: Reinforcement) -> Replays:
    """Return all samples [N, S]; `InvalidInput` where parts are missing or were altered."""
    if missing := missing_parts(folder, about):
        done = about.parts - len(missing)
        raise InvalidInput(f"{folder} has {done} of {about.parts} parts; go on with the nas reinforce that began it")
    digest, parts = hashlib.sha256(dump_json(about.to_dict()).encode()), []
    for part in range(about.parts):
        data = read_bytes(path := _path(folder, part))
        digest.update(hashlib.sha256(data).digest())
        try:
            stored = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise InvalidInput(f"{path} is damaged ({error}); delete it, and {AGAIN}") from error
        if stored.dtype != about.dtype or stored.shape != (len(about.rows(part)), about.samples):
            raise InvalidInput(f"{path} holds other samples than {FILE} says; delete it, and {AGAIN}")
        _check(path, stored, about)
        parts.append(stored)
    return Replays.of(np.concatenate(parts), digest.hexdigest())


def reinforcement_note(about: Reinforcement) -> str:
    """Return the note on a data set that is replayed in place of being augmented."""
    teachers = ", ".join(one.network for one in about.teachers)
    return f"{about.samples} augmented samples of each training image are replayed, and taught by {teachers}"


def _check(path: Path, stored: NDArray[Any], about: Reinforcement) -> None:
    """Raise where a part holds what no sample can be."""
    likely = stored["probabilities"]
    limits: Mapping[str, tuple[int, int]] = {
        "classes": (0, about.classes - 1), "partner": (0, about.images - 1), "share": (0, UNIT),
        "colour": (-UNIT, 2 * UNIT),
    }  # fmt: skip
    outside = [name for name, (low, high) in limits.items() if ((stored[name] < low) | (stored[name] > high)).any()]
    finite = np.isfinite(stored["matrix"]).all() and (np.abs(stored["matrix"]) <= 4).all()
    if outside or not finite or not ((likely >= 0) & (likely <= 1)).all() or (likely.sum(-1) > 1 + ROUNDING).any():
        raise InvalidInput(f"{path} was altered: {outside[0] if outside else 'numbers'} out of range; {AGAIN}")


def _path(folder: Path, part: int) -> Path:
    return folder / PARTS / f"{part:05d}.npy"
