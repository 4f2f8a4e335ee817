"""Results of searches and trainings: scores with their kind, and `Result`, typed data with a strict JSON form.

A run folder holds `experiment.json` (settings), `journal.jsonl`, `checkpoints/`, `coarse.json` and `best.json`,
`front.csv` with the specs in `specs/`, `evaluated.csv` and `report.html`. No file holds a clock or a host.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import dump_json, read_json, write_whole
from nas.ops import Size
from nas.records.experiment import read_experiment
from nas.records.named_code import resume_command
from nas.records.typed import Count, Fraction, NonNegative, Positive, PositiveCount, Resolution, kinds_of, typed
from nas.tasks import METRICS, binomial_error

SCHEMA = "nas.result"
VERSION = 1
SUPERNET_INT8 = "supernet weights in int8, held-out pictures"
SUPERNET = "supernet weights, held-out pictures"  # an accuracy under shared weights on validation images
TRAINED_ALONE = "trained alone, test pictures"  # what `nas train` measures: a network of its own weights, test images
SHOWN_AS = {  # phrases that files keep, so that old and new accuracies compare -> what a reader sees
    "held-out pictures": "validation images", "test pictures": "test images", "deployed network": "target network",
}  # fmt: skip
FILE_KEYS = {"images": "pictures", "latency_budget": "wanted_latency"}  # field -> its key in files, that of release 0.1
TOP1 = "top1"  # the metric of classification
FIELD_OF_SCORE = {"pictures": "examples", TOP1: "value"}  # key of a score in files -> field
MEASURED = ("measured_latency_ms", "measured_on")  # fields of a result that only a measurement adds


def display_text(stored: str) -> str:
    """Return a phrase that files keep, such as `AccuracyKind.how`, in the words of the reports."""
    for phrase, shown in SHOWN_AS.items():
        stored = stored.replace(phrase, shown)
    return stored


@dataclass(frozen=True)
class AccuracyKind:
    """The kind of a score: two compare only where data, input and width of the network, method and metric are equal."""

    data: str  # name of the data set
    data_digest: str  # SHA-256 of its arrays
    resolution: Resolution  # of the images that the network saw
    width: Positive  # of the proxy; 1 for the target network itself
    how: str  # how it was obtained: `SUPERNET`, `TRAINED_ALONE`, `trained_for` or `trained_for_steps`
    metric: str = TOP1  # the name of the metric: of `nas.tasks.METRICS`, or of a task of the user's own

    def stored_label(self) -> str:
        """Return the kind as text for the column accuracy_kind of CSV files, which keep the wording of release 0.1."""
        network = "deployed network" if self.width == 1 else f"proxy of width {self.width:g}"
        metric = "" if self.metric == TOP1 else f"{self.title}: "
        return f"{metric}{self.data}, {network} at {Size.of(self.resolution).text}, {self.how}"

    def label(self) -> str:
        """Return the kind as text for axes and tables."""
        return display_text(self.stored_label())

    @property
    def title(self) -> str:
        """The metric as tables name it: "top-1", "CCC"."""
        return title_by_name(self.metric)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; files of classification name no metric."""
        return {key: value for key, value in asdict(self).items() if key != "metric" or value != TOP1}


@dataclass(frozen=True)
class Score:
    """What a network reached: a score from 0 to 1 with its standard error over `examples` examples, and its kind.

    Of classification that is top-1, a fraction; of other tasks `Task.score`, such as CCC or R2, where 0 is what a
    constant answer gets.
    """

    value: Fraction
    standard_error: Fraction
    examples: PositiveCount
    kind: AccuracyKind

    @property
    def top1(self) -> float:
        """The value, by the name that it has in classification."""
        return self.value

    @property
    def images(self) -> int:
        """The examples, which mostly are images."""
        return self.examples

    @property
    def text(self) -> str:
        """The value as text: a share in percent, another score as a number of three digits."""
        return share_text(self.value, self.kind.metric)

    @property
    def error_text(self) -> str:
        """The standard error as text, in points or as a number."""
        return points_text(self.standard_error, self.kind.metric)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, of classification in the keys of release 0.1."""
        value = TOP1 if self.kind.metric == TOP1 else "value"
        body = {value: self.value, "standard_error": self.standard_error, FILE_KEYS["images"]: self.examples}
        return body | {"kind": self.kind.to_dict()}

    @classmethod
    def of(cls, value: float, examples: int, kind: AccuracyKind, error: float | None = None) -> "Score":
        """Return the score `value` with the standard `error`, by default that of a share of the examples.

        A metric other than a share has that as a rough figure, where the outputs are no longer known.
        """
        return cls(value, min(standard_error(value, examples) if error is None else error, 1.0), examples, kind)


def share_text(value: float, metric: str, digits: int = 2) -> str:
    """Return a score as text: of classification in percent, of another metric as a number."""
    return f"{value:.{digits}%}" if metric == TOP1 else f"{value:.3f}"


def points_text(error: float, metric: str, digits: int = 2) -> str:
    """Return a standard error, or a difference of scores, as text: in points of a share, or as a number."""
    return f"{100 * error:.{digits}f} points" if metric == TOP1 else f"{error:.3f}"


def metric_of(label: str) -> str:
    """Return the name of the metric in the label of a kind of accuracy, as CSV files and pages keep it."""
    title, named, _ = label.partition(": ")
    if not named:
        return TOP1
    return {metric.title: metric.name for metric in METRICS.values()}.get(title, title)


def title_of(label: str) -> str:
    """Return the metric in the label of a kind of accuracy as tables name it: "top-1", "CCC"."""
    title, named, _ = label.partition(": ")
    return title if named else METRICS[TOP1].title


def heading_of(label: str) -> str:
    """Return the heading of a column of scores of that kind: a share is in percent."""
    return "top-1 (%)" if metric_of(label) == TOP1 else title_of(label)


def metric_of_run(experiment: Mapping[str, Any]) -> str:
    """Return the name of the metric that a search maximises, as its experiment.json says; else that of classification.

    Runs before this was written say it in their results alone.
    """
    data = experiment.get("data")
    return str(data.get("metric", TOP1)) if isinstance(data, dict) else TOP1


def axis_of(metric: str) -> str:
    """Return the label of an axis or a column of scores times 100, by the name of their metric."""
    return "top-1 (%)" if metric == TOP1 else f"{title_by_name(metric)} x 100"


def title_by_name(metric: str) -> str:
    """Return a metric, by its name in files, as tables name it: "top-1", "CCC"."""
    return METRICS[metric].title if metric in METRICS else metric


standard_error = binomial_error


def trained_for(epochs: int) -> str:
    """Return the `AccuracyKind.how` of a network trained alone for `epochs` epochs, on validation images."""
    return f"trained alone for {epochs} epochs, held-out pictures"


def trained_for_steps(steps: int) -> str:
    """Return the `AccuracyKind.how` of a network trained alone for `steps` steps, on validation images."""
    return f"trained alone for {steps} steps, held-out pictures"


def estimated_for(epochs: int, *, in_int8: bool = False) -> str:
    """Return the `AccuracyKind.how` of an accuracy after `epochs` epochs, estimated from several trainings."""
    numbers = ", in int8" if in_int8 else ""
    return f"trained alone for {epochs} epochs{numbers}, estimated from several networks, held-out pictures"


def accuracy_from(data: Any) -> Score:
    """Return the accuracy in the JSON form `data`; `TypeError` or `KeyError` where it is none."""
    if not isinstance(data, Mapping):
        raise TypeError(f"the accuracy is {data!r:.60}")
    return typed(Score, {FIELD_OF_SCORE.get(str(key), str(key)): value for key, value in data.items()})


@dataclass(frozen=True)
class PredictionError:
    """How far a predicted latency could be trusted when its search ended, and what share of the space that blurs."""

    percent: Positive | None  # half-width that holds 90 % of unseen networks, in percent of the prediction
    mean_percent: NonNegative | None  # mean absolute error, where it is known
    basis: str  # what the number rests on, or why there is none
    setup: str  # runtime, threads and dtype of the target, as far as they are known
    share_within: Fraction | None  # of random networks of the space: those within `percent` of the latency budget


@dataclass(frozen=True)
class Result:
    """The result of a search: one architecture with its accuracy and its predicted costs."""

    arch: ArchSpec
    space: str
    target: str
    latency_model: str
    latency: Positive  # predicted on `target`, in `latency_unit`
    latency_unit: str  # "ms", or "x mobilenetv4-conv-s" for an abstract device
    latency_budget: NonNegative
    other_latencies_ms: dict[str, Positive]  # predicted on every other target
    macs: Count
    params: Count
    peak_activation_bytes: Count
    weight_bytes: Count
    accuracy: Score  # by which it was chosen: under shared weights, or of candidate re-training
    supernet_accuracy: Score | None  # under shared weights; None where its stage's supernet does not hold it
    proxy_resolution: Resolution
    proxy_width: Positive
    converged: bool
    policy_entropy: float  # mean over decisions, as a fraction of that of a uniform policy
    genotype: tuple[Count, ...]
    seed: Count
    notes: tuple[str, ...] = ()
    latency_error: PredictionError | None = None  # None in files of releases that did not state it
    measured_latency_ms: Positive | None = None  # of the batch that `latency` is of, where `nas measure --top` was run
    measured_on: str | None = None  # runtime, threads and machine of that

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what was not measured has no key in it."""
        body = {FILE_KEYS.get(f.name, f.name): getattr(self, f.name) for f in fields(self)} | {
            "arch": self.arch.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "supernet_accuracy": self.supernet_accuracy and self.supernet_accuracy.to_dict(),
            "genotype": list(self.genotype),
            "notes": list(self.notes),
            "latency_error": self.latency_error and asdict(self.latency_error),
        }
        absent = [name for name in MEASURED if body[name] is None]
        body = {name: value for name, value in body.items() if name not in absent}
        return {"schema": SCHEMA, "version": VERSION, "digest": self.arch.digest, **body}

    @classmethod
    def from_dict(cls, data: Any) -> "Result":
        """Return the result in the JSON form `data`; `InvalidInput` where it is none or has been altered."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InvalidInput(f"this is not the result of a search: the field 'schema' must be '{SCHEMA}'")
        if data.get("version") != VERSION:
            raise InvalidInput(f"result version {data.get('version')!r} is not supported; this release reads {VERSION}")
        keys = {f.name: FILE_KEYS.get(f.name, f.name) for f in fields(cls)}
        later = dict.fromkeys(("supernet_accuracy", "latency_error", *MEASURED))
        data = later | data  # which files of earlier releases lack
        if set(data) - {"schema", "version", "digest"} != set(keys.values()):
            wrong = sorted(set(keys.values()) ^ (set(data) - {"schema", "version", "digest"}))
            raise InvalidInput(f"the result lacks or has in excess the field '{wrong[0]}'; run the search again")
        arch = ArchSpec.from_dict(data["arch"])
        if arch.digest != data.get("digest"):
            raise InvalidInput("the architecture does not match the digest beside it: the file was altered")
        if wrong_sizes := [name for name in ("macs", "params") if data[name] != getattr(arch, name)]:
            name, right = wrong_sizes[0], getattr(arch, wrong_sizes[0])
            raise InvalidInput(f"{name} is {data[name]!r:.40}, that of its architecture {right}: the file was altered")
        try:
            supernet, known = data["supernet_accuracy"], data["latency_error"]
            body = {name: data[key] for name, key in keys.items()} | {
                "arch": arch,
                "accuracy": accuracy_from(data["accuracy"]),
                "supernet_accuracy": None if supernet is None else accuracy_from(supernet),
                "latency_error": None if known is None else typed(PredictionError, known),
            }
            return typed(cls, body)
        except (TypeError, KeyError) as error:
            raise InvalidInput(f"the result is malformed: {error}; run the search again") from error


def result_fields() -> dict[str, Any]:
    """Return the kinds of the plain fields of a result by their keys in files."""
    parts = ("arch", "accuracy", "supernet_accuracy", "latency_error")
    return {FILE_KEYS.get(name, name): kind for name, kind in kinds_of(Result).items() if name not in parts}


def save_result(result: Result, path: Path) -> None:
    """Write a result as JSON."""
    write_whole(path, dump_json(result.to_dict()))


def load_result(path: Path) -> Result:
    """Return the result in `path` (`best.json`, `coarse.json`); `InvalidInput` where it holds none."""
    try:
        return Result.from_dict(read_json(path))
    except (InvalidInput, LookupError) as error:
        message = str(error)
        raise InvalidInput(message if str(path) in message else f"{path}: {message}") from error


def result_of_run(run: Path) -> Result:
    """Return the result of the run folder `run`; `InvalidInput` where it has not finished or is no run."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    if not (run / "best.json").exists():
        _refuse_several(run)
        raise InvalidInput(f"the run in {run} has not finished; go on with: {resume_command(run)}")
    return load_result(run / "best.json")


def _refuse_several(run: Path) -> None:
    """Raise where `run` has one result per target, each in a folder of its own."""
    folders = [run / target for target in read_experiment(run).get("targets", [])]
    if len(folders) > 1 and all((folder / "best.json").exists() for folder in folders):
        shown = ", ".join(map(str, folders))
        raise InvalidInput(f"{run} is a search for several targets; name the results of one: {shown}")
