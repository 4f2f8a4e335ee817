"""A network deployed: trained at full size, measured, exported, checked, with card and predict.py, in one folder.

The folder holds `training/` and the files of every export. Each step is skipped where it was done with equal settings,
so the same request goes on where it was stopped.
"""

import glob
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.arch import ArchSpec
from nas.data import Dataset
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.export.calibration import Int8Calibration, TrainingData, build_calibration, load_calibration
from nas.export.interface import example_of, predict_of
from nas.export.onnx import file as onnx_file
from nas.export.options import FileOptions, exporter_arguments, uint8_input
from nas.export.packages import installed, need
from nas.export.provenance import measured_latency
from nas.export.quantised_file import QuantisedFile
from nas.export.single_file import SingleFile
from nas.export.sources import WEIGHTLESS, Source, load_source
from nas.export.timm.blocks import timm_network
from nas.export.weight_files import start_weights
from nas.export.weights import FILE as WEIGHTS_FILE
from nas.files import dump_json, read_bytes, write_whole
from nas.measure.benchmark import BenchmarkConfig, measure
from nas.nn.network import load_weights
from nas.ops import Shape, Size
from nas.progress.time_left import Begun, Phase, Schedule, TimingEvent
from nas.quantisation.config import DEFAULT as ALL_INT8
from nas.quantisation.config import QuantisationConfig
from nas.quantisation.program import program_of
from nas.records.locks import locked
from nas.records.networks import arch_of, is_run, is_training
from nas.records.results import display_text, result_of_run
from nas.records.trainings import TRAINING, deployed_folder, run_of_spec
from nas.records.typed import read_object
from nas.registry import DEFAULT_FORMAT, ENDINGS, EXPORTERS, INT8_EXPORTERS, RUNTIMES, load
from nas.runs.single_training import check_supernet_of, for_classes, training_data
from nas.runs.teachers import TeacherConfig
from nas.training.loop import (
    TEST,
    TRAIN,
    TrainingConfig,
    TrainingProgress,
    check_batch,
    dataset_for,
    expected_s,
    is_finished,
    train,
    validation_images,
)
from nas.training.recipe import recipe_lines
from nas.training.teaching import Teacher
from nas.training.two_teachers import TwoTeachers

SCHEMA, VERSION = "nas.deployment", 1
FILE = "deploy.json"  # which settings each exported file was made with
MEASURED, MEASURED_INT8 = "measured.csv", "measured-int8.csv"
MEASURE, EXPORT = "measure", "export"  # stages after the training
MEASURE_STEP_S, EXPORT_S, EXPORT_INT8_S = 0.3, 5.0, 25.0  # what they are expected to take on 2 CPU cores
RUNTIME_OF = {"onnx": "onnxruntime", "tflite": "litert"}  # format -> runtime that measures it; XLA for the others
INT8_RUNTIME_OF = {"onnx": "onnxruntime-int8"}  # that measures the int8 network; else the float32 one is measured
PACKAGE_OF = {
    "onnxruntime": "onnxruntime", "onnxruntime-int8": "onnxruntime", "litert": "ai_edge_litert", "xla": "jax",
}  # fmt: skip
INT8 = "int8"
ANY_SIGNATURE = Signature(InputSpec(1, 1, 1, (0.0,), (1.0,)), ())  # in place of the one that the training will state


@dataclass(frozen=True)
class ExportConfig:
    """The file to export: its format, its numbers, and the images that it takes."""

    form: str = DEFAULT_FORMAT
    quantize: str | None = None  # None or "int8"
    input: str = "float32"
    opset: int | None = None
    calibration: str | None = None  # data set for int8; None: that of the training
    calibration_images: int | None = None  # of it, for the ranges
    quantisation: QuantisationConfig = ALL_INT8

    def __post_init__(self) -> None:
        """Refuse formats without weights or without the form that is asked for, before anything is trained."""
        if self.form == WEIGHTLESS:
            raise InvalidInput("a spec holds no weights: choose another format to deploy, tflite or onnx say")
        if self.quantize not in (None, INT8):
            raise InvalidInput(f"the quantisation must be int8, got '{self.quantize}'")
        load("format", self.exporters, self.form)
        pixels = uint8_input(self.input, ANY_SIGNATURE)
        exporter_arguments(self.form, FileOptions(pixels, self.opset))
        of_int8 = (self.calibration, self.calibration_images, self.quantisation) != (None, None, ALL_INT8)
        if of_int8 and self.quantize is None:
            raise InvalidInput(
                "calibration and layers in float32 belong to the quantisation int8; give both or neither"
            )

    def check(self, arch: ArchSpec) -> None:
        """Raise `InvalidInput` where this format cannot hold the network, or what writes it is not installed."""
        owner = getattr(load("format", self.exporters, self.form), "__self__", None)
        if isinstance(owner, QuantisedFile):
            need(*owner.packages)
            owner.check(arch)
            self.quantisation.kept(program_of(arch, owner.scheme).layers)
        elif isinstance(owner, SingleFile):
            need(owner.writer)
        if self.form == "onnx":
            onnx_file.content(arch, lambda _, shape: np.zeros(shape, np.float32), {}, FileOptions(opset=self.opset))
        if self.form == "timm":
            timm_network(arch, lambda _, shape: np.zeros(shape, np.float32))

    @property
    def exporters(self) -> dict[str, str]:
        """The registry of the formats with the numbers that are asked for."""
        return EXPORTERS if self.quantize is None else INT8_EXPORTERS

    def name(self, network: str) -> str:
        """Return the name of the file or folder for the network of this name."""
        parts = [network, *([] if self.quantize is None else [self.quantize]), *(["uint8"] * (self.input == "uint8"))]
        return "-".join(parts) + ENDINGS.get(self.form, f"-{self.form}")


@dataclass(frozen=True)
class DeployConfig:
    """What is deployed, on which data it is trained and for how long, and what is exported.

    `data` and the fields of `nas.data.Preparation` in `preparation` are those of the run where they are None.
    """

    network: str  # run, training, spec file or reference network
    export: ExportConfig = field(default_factory=ExportConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: str | None = None
    data_dir: str | None = None
    preparation: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None  # file, or folder of a training, to start the training from: what fits is taken
    from_supernet: bool = False
    measured: bool = False
    accept_changes: bool = False  # of what the supernet depends on
    recipe: str | None = None  # by which `training` was resolved, where one was named
    teachers: TeacherConfig = field(default_factory=TeacherConfig)

    def __post_init__(self) -> None:
        """Refuse two starts of one training, and settings of a training for a network that was trained."""
        if self.weights is not None and self.from_supernet:
            raise InvalidInput("a training starts from weights or from the supernet; give one")
        if is_training(self.network) and (self.weights is not None or self.from_supernet):
            raise InvalidInput(f"{self.network} is a training already: it is deployed with its own weights")
        if is_training(self.network) and (self.recipe is not None or self.teachers.teacher is not None):
            raise InvalidInput(
                f"{self.network} is a training already, and is not trained again: leave recipe and teacher out"
            )

    @property
    def file_name(self) -> str:
        """The name of the exported file or folder."""
        path = Path(self.network)
        if path.exists():
            return self.export.name(path.resolve().stem if path.is_file() else path.resolve().name)
        return self.export.name(self.network.replace("@", "-").replace(",", "-"))

    @property
    def default_out(self) -> Path:
        """The folder where it goes, unless another one is named: RUN-deployed, or runs/NAME-deployed."""
        path, run = Path(self.network), run_of_spec(self.network)
        if run is not None:
            return deployed_folder(run.with_name(f"{run.name}-{path.stem}"))
        if path.exists():
            return deployed_folder(path.with_suffix("") if path.is_file() else path)
        return deployed_folder(Path("runs", self.network.replace("@", "-")))


@dataclass(frozen=True)
class Subject:
    """The network to deploy: an architecture with the data to train it on, or the folder of its training."""

    arch: ArchSpec
    training: Path
    dataset: Dataset | None = None  # None: it was trained already
    weights: Mapping[str, Any] | None = None
    start: str = "random weights"
    start_lines: tuple[str, ...] = ()  # on the weights that the training starts from
    teacher: Teacher | TwoTeachers | None = None


@dataclass(frozen=True)
class Deployment:
    """What was deployed: the folder, the exported file or folder, its predict.py, and lines that say what was done."""

    folder: Path
    file: Path
    predict: Path | None
    training: Path
    lines: tuple[str, ...]
    example: str = "IMAGE"  # what predict.py takes


def subject_of(config: DeployConfig, out: Path) -> Subject:
    """Return the network to deploy into `out`, with its data and the weights that its training starts from."""
    network, arch = config.network, arch_of(config.network)
    if is_training(network):
        config.export.check(arch)
        return Subject(arch, Path(network))
    training = out / TRAINING
    run = str(run_of_spec(network) or network)  # whose data is the default
    dataset = training_data(run, training, config.data, config.data_dir, **config.preparation)
    arch = for_classes(network, arch, dataset)
    dataset = dataset_for(arch, dataset)
    config.export.check(arch)
    subject = _started(config, Subject(arch, training, dataset), dataset)
    config.training.ingredients.check(dataset)
    check_batch(len(dataset.y_train) - validation_images(dataset, config.training), config.training.batch_size)
    return replace(subject, teacher=config.teachers.load(dataset))


def _started(config: DeployConfig, subject: Subject, dataset: Dataset) -> Subject:
    """Return `subject` with the weights that its training starts from, as asked for."""
    network, arch = config.network, subject.arch
    if config.weights is not None:
        start = start_weights(Path(config.weights), arch, config.training.seed)
        return replace(subject, weights=start.weights, start="the weights that fit", start_lines=start.lines)
    if config.from_supernet:
        own = config.data is None and not any(value is not None for value in config.preparation.values())
        check_supernet_of(network, dataset, "deploy", own_data=own, accept_changes=config.accept_changes)
        return replace(subject, weights=_supernet_weights(network, arch), start="the supernet's weights")
    return subject


def _supernet_weights(network: str, arch: ArchSpec) -> Mapping[str, Any]:
    """Return the weights that a run inherited from its supernet; `InvalidInput` where that trained narrower proxies."""
    if not is_run(network):
        raise InvalidInput(f"{network} is no run of a search: it has no supernet to start from")
    result = result_of_run(Path(network))
    if result.proxy_width != 1:
        raise InvalidInput(
            f"the supernet of {network} trained proxies of width {result.proxy_width:g}: their weights do not fit the "
            "network at full size; start from random weights, or search with --proxy-width 1"
        )
    small = replace(arch, input_shape=Shape(*Size.of(result.proxy_resolution), arch.input_shape.channels))
    return load_weights(Path(network) / "inherited.safetensors", small)[0]


def plan(config: DeployConfig, subject: Subject, out: Path) -> list[str]:
    """Return lines that say what will be done."""
    arch, export = subject.arch, config.export
    size, channels = arch.input_shape.size, arch.input_shape.channels
    outputs = f"{arch.num_classes} classes" if subject.dataset is None else subject.dataset.outputs_text
    lines = [
        f"network: {arch.name}, {size.text}, {channels} channels, {outputs}; {arch.macs:,} MACs, "
        f"{arch.params:,} parameters"
    ]
    if subject.dataset is None:
        lines.append(f"trained already: {subject.training}")
    elif _is_trained(config, subject):
        lines.append(f"trained already, with these settings: {subject.training}")
    else:
        data, epochs = subject.dataset, config.training.epochs
        lines += [
            f"data {data.name}: {len(data.y_train):,} training and {len(data.y_test):,} test images",
            f"training at full size: {epochs} epochs from {subject.start}, into {subject.training}",
            *subject.start_lines,
            *(recipe_lines(config.recipe, config.training) if config.recipe is not None else ()),
            *config.teachers.lines,
            *(f"data note: {note}" for note in data.notes),
        ]
    numbers = "float32" if export.quantize is None else export.quantize
    return [*lines, f"export: {export.form}, {numbers}, into {out / config.file_name}"]


def deploy(
    config: DeployConfig,
    subject: Subject,
    out: Path,
    progress: Callable[[TrainingProgress], None] = lambda _: None,
    advance: Callable[[int, int, str], None] = lambda *_: None,
    timing: Callable[[TimingEvent], None] = lambda _: None,
) -> Deployment:
    """Train, measure and export the network of `subject` into the folder `out`; what was done already is left.

    `progress` hears of the training, `advance` of the measurement, `timing` of all phases. Raises `InvalidInput` where
    `out` holds a training or a file of other settings.
    """
    timing(Schedule(_phases(config, trained=_is_trained(config, subject))))
    _train(config, subject, progress, timing)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        source = load_source(subject.arch, str(subject.training), subject.training)
        if config.measured:
            timing(Begun(MEASURE))
            source.provenance.update(_measured(config, subject, out, advance))
        timing(Begun(EXPORT))
        file = out / config.file_name
        lines = [_accuracy(source), *_export(config, subject, source, file)]
    example = example_of(source.signature)
    return Deployment(out, file, predict_of(file), subject.training, tuple(lines), example)


def _phases(config: DeployConfig, *, trained: bool) -> tuple[Phase, ...]:
    """Return the phases in their order; the training tells how long it takes when it begins."""
    training = () if trained else (Phase(TRAIN, 1, 0.0), Phase(TEST, 1, 0.0))
    measurement = (
        (Phase(MEASURE, 1 + BenchmarkConfig().rounds, MEASURE_STEP_S, serial=True),) if config.measured else ()
    )
    export_s = EXPORT_S if config.export.quantize is None else EXPORT_INT8_S
    return (*training, *measurement, Phase(EXPORT, 1, export_s, serial=True))


def _accuracy(source: Source) -> str:
    """Return a line with the accuracy of the trained network."""
    known = source.provenance
    return f"trained: {known['accuracy']} ({display_text(known['accuracy_kind'])})"


def training_s(config: DeployConfig, subject: Subject) -> float | None:
    """Return how long the training is expected to take on 2 CPU cores, in seconds; None where there is none to do."""
    if subject.dataset is None or _is_trained(config, subject):
        return None
    return expected_s(subject.arch, subject.dataset, config.training)


def _is_trained(config: DeployConfig, subject: Subject) -> bool:
    return subject.dataset is None or is_finished(
        subject.arch,
        subject.dataset,
        config.training,
        subject.training,
        initial_weights=subject.weights,
        teacher=subject.teacher,
    )


def _train(
    config: DeployConfig, subject: Subject, progress: Callable[[TrainingProgress], None],
    timing: Callable[[TimingEvent], None],
) -> None:  # fmt: skip
    """Train the network, or go on with its training, unless that is finished."""
    if subject.dataset is not None and not _is_trained(config, subject):
        subject.training.parent.mkdir(parents=True, exist_ok=True)
        train(
            subject.arch, subject.dataset, config.training, subject.training, progress,
            initial_weights=subject.weights, teacher=subject.teacher, recipe=config.recipe, timing=timing,
        )  # fmt: skip


def _measured(
    config: DeployConfig, subject: Subject, out: Path, advance: Callable[[int, int, str], None]
) -> dict[str, str]:
    """Return the latency on this host for the card, nothing where the runtime is not installed."""
    form, quantized = config.export.form, config.export.quantize is not None
    int8 = INT8_RUNTIME_OF.get(form) if quantized else None
    name = int8 or RUNTIME_OF.get(form, "xla")
    if not installed(PACKAGE_OF[name]):
        return {}
    runtime = load("runtime", RUNTIMES, name)
    table = out / (MEASURED_INT8 if int8 else MEASURED)
    measure({subject.arch.name: subject.arch}, runtime, BenchmarkConfig(), table, advance=advance)
    found = measured_latency(table, subject.arch)
    if quantized and not int8:
        found["measured_on"] += ", the float32 network"
    return found


RECORD: dict[str, Any] = {"schema": str, "version": int, "files": dict[str, dict[str, Any]]}  # of deploy.json


def _export(config: DeployConfig, subject: Subject, source: Source, file: Path) -> list[str]:
    """Write the file unless it was written with equal settings; return lines about it."""
    record = file.parent / FILE
    known: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "files": {}}
    if record.is_file():
        known |= read_object(record, RECORD, "the files of a deployment", "name another folder with --out")
    weights = hashlib.sha256(read_bytes(subject.training / WEIGHTS_FILE)).hexdigest()
    settings = {**_stored(config.export), "measured": config.measured, "weights": weights}
    stored = known["files"].get(file.name)
    if file.exists():
        if stored != settings:
            raise InvalidInput(f"{file} was made with other settings or weights; name another folder with --out")
        return [f"{file} is there already, made with these settings"]
    write_whole(record, dump_json({**known, "files": {**known["files"], file.name: settings}}))
    for path in file.parent.glob(f"{glob.escape(file.name)}.*"):
        path.unlink()  # of an export that was killed
    options = FileOptions(uint8_input(config.export.input, source.signature), config.export.opset)
    arguments = source.arguments() | exporter_arguments(config.export.form, options)
    if config.export.quantize is not None:
        arguments["calibration"] = _calibration(config, subject, source)
    return list(load("format", config.export.exporters, config.export.form)(subject.arch, file, **arguments))


def _stored(export: ExportConfig) -> dict[str, Any]:
    """Return the JSON form of the settings of a file; what release 0.3 did not have is left out where it is as then."""
    body = asdict(export)
    quantisation, images = body.pop("quantisation"), body.pop("calibration_images")
    quantisation["keep_float"] = list(export.quantisation.keep_float)
    return (
        body
        | ({} if export.quantisation == ALL_INT8 else {"quantisation": quantisation})
        | ({} if images is None else {"calibration_images": images})
    )


def _calibration(config: DeployConfig, subject: Subject, source: Source) -> Int8Calibration:
    """Return the calibration images: those of the training, unless others are named."""
    named = config.export.calibration
    if named is None and subject.dataset is not None:
        own = TrainingData(subject.dataset.name, is_calibration=True)
        return build_calibration(
            subject.arch, subject.dataset, signature=source.signature, trained_on=own,
            images=config.export.calibration_images, config=config.export.quantisation, ranges=source.ranges,
        )  # fmt: skip
    return load_calibration(
        subject.arch, named or config.data or source.provenance["data"],
        Path(config.data_dir) if config.data_dir else None,
        signature=source.signature, provenance=source.provenance, images=config.export.calibration_images,
        config=config.export.quantisation, ranges=source.ranges, training_dir=source.data_dir,
    )  # fmt: skip
