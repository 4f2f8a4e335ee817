"""The settings of a search as typed data, which experiment.json stores."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.data import Dataset, Preparation, load
from nas.data.arrays import DataKind
from nas.data.input_spec import Fit
from nas.data.preparation import ClassWeights
from nas.errors import InvalidInput, unknown_name
from nas.ops.log_mel import Transform
from nas.records.typed import Resolution, kinds_of, value_of
from nas.registry import DEFAULT_TARGET, lazy

if TYPE_CHECKING:
    from nas.supernet import presets
else:
    presets = lazy("nas.supernet.presets")  # imports jax

Quantisation = Literal["int8"]
INT8: Quantisation = "int8"
IMAGENET_PX = 224  # side of the images of target networks, where no setting says
NO_BASELINE = "none"
EARLIER_TARGET = "edgetpu"  # of searches of earlier releases that name neither a target nor a ridge point
NO_MODEL = "none"  # the two-stage search over supernets alone
# fields that runs without them have at this value
LATER: dict[str, Any] = {
    "dft": "matmul", "weights": None, "quantize": None, "one_program": False, "trial_steps": 1,
    "compilation_counts": False,
}  # fmt: skip

# fields that no flag gives: a run keeps those that it began with
OF_RELEASE = (
    "trial_steps",
    "one_program",
    "compilation_counts",
)


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search: everything it depends on, as the user gave it."""

    space: str = "uib"
    target: str | None = DEFAULT_TARGET
    ridge_point: float | None = None
    peak_gmacs_per_s: float | None = None
    latency_model: str = "default"
    latency_ms: float | None = None
    latency_ratio: float | None = None
    around: bool = False  # the latency is met within 1 % on either side; else it is an upper bound
    max_params: int | None = None
    max_macs: int | None = None
    max_memory_kb: float | None = None  # activations alive at once, of the whole batch
    max_flash_kb: float | None = None  # weights
    max_energy_mj: float | None = None  # of a batch
    forest_bounds: tuple[str, ...] = ()  # FILE.forest.json:MAX each
    minimize: tuple[str, ...] = ()  # further costs of the front: of `nas.registry.COSTS`, or files of forests
    data: str = "digits"
    data_dir: str | None = None
    resolution: Resolution | None = None  # None: 224 px for square images, for all other data their own
    left_out: tuple[str, ...] = ()  # ops and activations of the space that the target does not run
    drop_strides: bool = False  # target networks of small images have early strides 1, as their proxies have
    preset: str = "quick"
    one_stage: bool = False  # of a joint search: all decisions together, not first filters and depths, then blocks
    finalists: int | None = None  # of the coarse stage, trained alone; a third as many of the fine one
    accuracy_model: str | None = None  # of `nas.registry.ACCURACY_MODELS`, or `NO_MODEL`; None: what the preset has
    core_hours: float | None = None  # of one processor core, for the whole search with an accuracy model
    supernet_share: float = 0.2  # of those, at most, for a supernet beside the accuracy model
    proxy_resolution: Resolution | None = None
    proxy_width: float | None = None
    window_ms: tuple[float, ...] = ()  # of the log-mel front end in front of waveforms; several are a decision
    hop_ms: tuple[float, ...] = ()
    bands: tuple[int, ...] = ()
    dft: Transform = "matmul"  # how the front end computes it
    seed: int = 0
    quantize: Quantisation | None = None  # of the candidates: accuracies are those in int8
    trial_steps: int | None = None  # of the shortest training alone, at least; None: what the preset has
    one_program: bool = True  # short trainings alone are those of one program, which is compiled once, on a CPU too
    compilation_counts: bool = True  # as steps of a search in one stage, which compiles longer than one in two
    weights: str | None = None  # that the supernet starts from: a training, or NETWORK=FILE; None: random ones
    baseline: str = "mobilenetv4-conv-s"  # trained beside the network found; `NO_BASELINE` for none
    # Of nas.data.Preparation. Runs of release 0.1 state no fit, and read folders as that release did.
    fit: Fit | None = "crop"
    background: int = 255
    augment_shift: float | None = None
    flip: bool | None = None
    class_weights: ClassWeights | None = None
    data_kind: DataKind | None = None
    group: str | None = None
    sample_rate: int | None = None
    clip_seconds: float | None = None
    keywords: tuple[str, ...] = ()
    silence: bool = False
    augment_gain_db: float | None = None
    augment_noise: float | None = None
    augment_time_mask: float | None = None
    augment_band_mask: float | None = None
    task: str | None = None  # one of `nas.tasks.TASKS`; None: told by the targets

    @property
    def is_int8(self) -> bool:
        """Whether candidates are ranked by their accuracy in int8."""
        return self.quantize is not None

    @property
    def preparation(self) -> Preparation:
        """How the data are prepared."""
        return Preparation(**{each.name: getattr(self, each.name) for each in fields(Preparation)})

    @property
    def model_name(self) -> str | None:
        """The model of accuracies that chooses which networks are trained alone; None for a two-stage search."""
        if self.accuracy_model is None and self.finalists is None and not self.one_stage:
            return presets.load_preset(self.preset).accuracy_model
        return None if self.accuracy_model == NO_MODEL else self.accuracy_model

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as files hold them, without the fields of `LATER` that are as in runs that lack them."""
        return {name: value for name, value in asdict(self).items() if value != LATER.get(name, ...)}

    def is_asked_again(self, known: "SearchConfig") -> bool:
        """Return whether these settings, given anew, are those of a run: what no flag gives is as the run has it."""
        return replace(self, **{name: getattr(known, name) for name in OF_RELEASE}) == known

    def load_data(self) -> Dataset:
        """Return the data set."""
        folder = Path(self.data_dir) if self.data_dir else None
        return load(self.data, folder, preparation=self.preparation, proportions=self.resolution)

    @classmethod
    def from_dict(cls, data: Any) -> "SearchConfig":
        """Return the settings in the JSON form `data`; `InvalidInput` names a field that does not exist.

        Those of releases without upper bounds on the latency and without baselines aimed `around` it and had none, and
        dropped early strides of networks for small images; none had a model of accuracies. Where they state no target,
        it was edgetpu.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or (set(data) - known):
            wrong = sorted(set(data) - known)[0] if isinstance(data, dict) else repr(data)[:40]
            raise InvalidInput(f"the stored settings are malformed: {unknown_name('field', wrong, known)}")
        try:
            kwargs = {key: value_of(kinds_of(cls)[key], value, key) for key, value in data.items()}
        except TypeError as error:
            raise InvalidInput(f"the stored settings are malformed: {error}; start a new run") from error
        if kwargs.get("target") is None and kwargs.get("ridge_point") is None:
            kwargs["target"] = EARLIER_TARGET
        if "data_kind" not in kwargs and kwargs.get("resolution") == IMAGENET_PX:
            kwargs["resolution"] = None  # of a release that wrote the default as a number
        if "accuracy_model" not in kwargs and presets.load_preset(str(kwargs.get("preset", cls.preset))).accuracy_model:
            kwargs["accuracy_model"] = NO_MODEL  # of a release whose preset had none
        earlier = {"fit": None, "around": True, "baseline": NO_BASELINE, "drop_strides": True}
        return cls(**(earlier | {name: LATER[name] for name in OF_RELEASE} | kwargs))


def default_settings() -> dict[str, Any]:
    """Return every setting of a search with its default, in the types of experiment.json."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(SearchConfig()).items()}
