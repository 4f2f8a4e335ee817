"""What an exporter gets for a network that is named: weights with their provenance, input and class names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.arch import ArchSpec
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.export.provenance import folder_provenance
from nas.quantisation.config import DEFAULT, QuantisationConfig
from nas.records.networks import is_run, is_training
from nas.records.ranges import ranges_of
from nas.records.signatures import signature_of
from nas.records.trainings import data_dir_of, training_of_run
from nas.registry import EXPORTERS, lazy

if TYPE_CHECKING:
    from nas.export import calibration as int8_calibration
    from nas.export import weight_files
    from nas.export.calibration import Int8Calibration
else:
    weight_files = lazy("nas.export.weight_files")  # imports jax, which a spec does without
    int8_calibration = lazy("nas.export.calibration")  # so does this

WEIGHTLESS = "json"  # the format of a spec


@dataclass(frozen=True)
class Source:
    """Weights to write, None for random ones or for none, their provenance, and the signature where it is known."""

    weights: Mapping[str, Any] | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    signature: Signature | None = None
    ranges: Mapping[str, tuple[float, float]] | None = None  # of activations, of a training for int8
    data_dir: Path | None = None  # where the published data set of the training was found

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of an exporter."""
        return {"weights": self.weights, "provenance": self.provenance, "signature": self.signature}


def find_weights(
    network: str, form: str, weights: str | Path | None = None, *, random_weights: bool = False
) -> Path | None:
    """Return the folder or file of the weights to export: those named, else those of the training or of the run.

    None for a spec or a reference network, for the format json, and with `random_weights`. `InvalidInput` for a run
    whose network was not trained, in a format of this package; one from outside may need no weights, and gets none.
    """
    if form == WEIGHTLESS and (weights is not None or random_weights):
        raise InvalidInput("a spec holds no weights; leave them out, or choose another format")
    if weights is not None and random_weights:
        raise InvalidInput("weights and random weights exclude each other; give one")
    if weights is not None:
        return Path(weights)
    if random_weights or form == WEIGHTLESS:
        return None
    if is_training(network):
        return Path(network)
    found = training_of_run(Path(network)) if is_run(network) else None
    if found is None and is_run(network) and form in EXPORTERS:
        raise InvalidInput(
            f"the network of {network} was not trained yet: train and export it with nas deploy {network}, name "
            "weights with --weights, or export random ones with --random-weights"
        )
    return found


def load_source(arch: ArchSpec, network: str, weights: Path | None) -> Source:
    """Return what is known of `network`, "" for an architecture of no file, and of the `weights` found for it."""
    folder = Path(network) if network else None
    provenance = {} if folder is None else folder_provenance(folder)
    signature = None if folder is None else signature_of(folder)
    if weights is None:
        return Source(None, provenance, signature)
    loaded, of_weights = weight_files.read_weights(weights, arch)
    place = weights if weights.is_dir() else weights.parent
    known, ranges = provenance | of_weights, ranges_of(place, arch.digest)
    return Source(loaded, known, signature_of(place), ranges, data_dir_of(place))


def calibration_of(
    arch: ArchSpec, source: Source, named: str | None, data_dir: str | None, *, images: int | None = None,
    config: QuantisationConfig = DEFAULT, choice_images: int | None = None,
) -> "Int8Calibration":  # fmt: skip
    """Return the calibration of an int8 file of `source` with the data set `named`, else with that of its training.

    `InvalidInput` where none is named and the training is not known.
    """
    if named is None and (source.weights is None or "data" not in source.provenance):
        raise InvalidInput("--quantize int8 needs images: --calibration DATA, best those that it was trained on")
    return int8_calibration.load_calibration(
        arch, named or source.provenance["data"], Path(data_dir) if data_dir else None, signature=source.signature,
        provenance=source.provenance if source.weights is not None else {}, images=images,
        choice_images=choice_images, config=config, ranges=source.ranges, training_dir=source.data_dir,
    )  # fmt: skip
