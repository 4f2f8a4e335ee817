"""What a search reads before its plan is made: images, target, space and the files of forests, each once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from latency_models.forest import SUFFIX
from latency_models.target import Target, load_target
from latency_models.unsupported import Unsupported, activations
from nas.data import Dataset
from nas.errors import InvalidInput
from nas.ops import Shape, Size
from nas.registry import DEFAULT_TARGET, SPACES, load
from nas.runs.front_end import front_end_of
from nas.runs.settings import IMAGENET_PX, SearchConfig
from nas.search.constraints.forest_bounds import ForestBound, digest
from nas.space.staged import StagedSpace

CHANNELS = 3  # of the input of target networks for images; grey ones are repeated


@dataclass(frozen=True)
class Sources:
    """What the settings of a search name, read and parsed; the settings say what is left out of the space."""

    settings: SearchConfig
    dataset: Dataset
    target: Target | None  # None for an abstract device
    space: StagedSpace  # of target networks, with all decisions that the target leaves

    @property
    def forests(self) -> Mapping[str, str]:
        """The digest of each forest that the search uses, by its path."""
        bounds = (ForestBound.parse(bound).path for bound in self.settings.forest_bounds)
        return {path: digest(path) for path in (*bounds, *self.settings.minimize) if path.endswith(SUFFIX)}

    @property
    def left_out(self) -> tuple[Unsupported, ...]:
        """What the target does not run and the search leaves out of the space."""
        stated = self.target.unsupported if self.target else ()
        return tuple(one for one in stated if one.name in self.settings.left_out)

    def without(self, names: Iterable[str]) -> "Sources":
        """Return the same with these ops and activations left out of the space too."""
        every = tuple(sorted({*self.settings.left_out, *names}))
        return replace(self, settings=replace(self.settings, left_out=every), space=without(self.space, every))


def read_sources(config: SearchConfig, dataset: Dataset | None = None) -> Sources:
    """Return what `config` names, its data set as it is loaded already; raises where something is none of its kind.

    What the target does not run is left out of the space.
    """
    space, target = space_of(config), target_of(config)  # a typo is reported before any data is read
    data = dataset or config.load_data()
    shape = input_shape(config, data)
    if (front_end := front_end_of(config, data.sample_rate)) is not None:
        space = front_end.before(space)
    whole = space.with_input(shape.size, shape.channels, data.num_classes, config.drop_strides)
    read = Sources(config, data, target, whole)
    refused = [one for one in target.unsupported if one.name not in config.left_out] if target else []
    return read.without(one.name for one in refused if _occurs(whole, one))


def input_shape(config: SearchConfig, data: Dataset) -> Shape:
    """Return the input of target networks: as configured, else 224 px for square images, for all other data their own.

    `InvalidInput` where maps are to become sequences, or sequences maps.
    """
    own = Size(IMAGENET_PX, IMAGENET_PX) if data.is_images and data.size.is_square else data.size
    size = own if config.resolution is None else Size.of(config.resolution)
    if size.is_sequence != data.size.is_sequence:
        raise InvalidInput(f"{data.name} holds {data.kind} of {data.size.text}: the resolution cannot be {size.text}")
    return Shape(*size, CHANNELS if data.is_images else data.channels)


def _occurs(space: StagedSpace, one: Unsupported) -> bool:
    """Return whether some network of the space has an op or activation; `InvalidInput` where all have."""
    return bool(space.without(one.is_in)[1])


def without(space: StagedSpace, names: Collection[str]) -> StagedSpace:
    """Return the space without ops and activations of these names."""
    return space.without(lambda op: op.tag in names or any(act in names for act in activations(op)))[0]


def space_of(config: SearchConfig) -> StagedSpace:
    """Return the configured space as it is published; `InvalidInput` for one that cannot be searched."""
    space = load("space", SPACES, config.space)
    if not isinstance(space, StagedSpace):
        raise InvalidInput(
            f"space '{config.space}' has no supernet here, so it cannot be searched: it is for prediction and "
            "calibration; search a staged space, uib say"
        )
    return space


def target_of(config: SearchConfig) -> Target | None:
    """Return the configured target, parsed; None for an abstract device."""
    if config.ridge_point is None:
        if config.peak_gmacs_per_s is not None:
            raise InvalidInput("--peak-gmacs-per-s goes with --ridge-point; give both, or a --target")
        return load_target(config.target or DEFAULT_TARGET)
    if config.target is not None:
        raise InvalidInput(f"give either --target {config.target} or --ridge-point, not both")
    return None
