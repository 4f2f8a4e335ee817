"""The network that `nas train` trains: a target network or a proxy of it, from random or from inherited weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.data import Dataset
from nas.errors import InvalidInput
from nas.export.weight_files import start_weights
from nas.nn.network import load_weights
from nas.ops import Size, SizeLike
from nas.records.experiment import read_experiment
from nas.records.networks import is_run
from nas.records.results import result_of_run
from nas.records.trainings import run_of_spec
from nas.runs.data_of_run import find_data
from nas.runs.dependencies import check_use
from nas.runs.settings import SearchConfig
from nas.space.scaling import behind_log_mel, dropped_strides_note, scale_down, strides_of, with_input
from nas.supernet.presets import QUICK, proxy_size
from nas.training.fine_tuning import FineTuning
from nas.training.loop import is_of_release_0_1
from nas.zoo import is_reference
from nas.zoo.audio import AUDIO


@dataclass(frozen=True)
class TrainingSubject:
    """The network to train, a target network or a proxy; `weights` to start from, None for random ones."""

    arch: ArchSpec
    proxy_width: float = 1.0
    weights: Mapping[str, Any] | None = None
    strides_note: str = ""  # of a proxy: which strides are not those of the target network
    start: str = "random weights"
    start_lines: tuple[str, ...] = ()  # on the weights that it starts from
    random: tuple[str, ...] = ()  # names of `weights` that begin at random, all or in part

    def check_frozen(self, tuning: FineTuning) -> None:
        """Raise `InvalidInput` where stages would be frozen that do not start from trained weights."""
        tuning.check(self.arch)
        if found := [name for name in self.random if tuning.is_frozen(name)]:
            raise InvalidInput(
                f"the first {tuning.frozen_stages} stages cannot be frozen: {found[0]} and {len(found) - 1} other "
                "tensors of them begin at random; freeze fewer, or start from weights of this network"
            )


def training_data(network: str, out: Path, data: str | None, data_dir: str | None, **asked: Any) -> Dataset:
    """Return the images of a training of `network` into `out`: those of `data`, else of the run that `network` names.

    `asked` are fields of `nas.data.Preparation`, None where they were not asked for: then those of the run hold. A
    training of release 0.1 goes on with the images as that release read them.
    """
    config, run = config_of_run(network), run_of(network)
    if data is not None:
        config = SearchConfig(data=data)
    elif run is not None:
        config = replace(config, data=find_data(config.data, run))
    if is_of_release_0_1(out):
        config = replace(config, fit=None)
    known = {name: value for name, value in asked.items() if value is not None}
    return replace(config, data_dir=data_dir or config.data_dir, **known).load_data()


def run_of(network: str) -> Path | None:
    """Return the run `network`, or the one that has the spec file `network` on its front; None for any other."""
    return Path(network) if is_run(network) else run_of_spec(network)


def config_of_run(network: str) -> SearchConfig:
    """Return the settings of the run `network`, or of that with this spec file; the default ones where it is none."""
    run = run_of(network)
    if run is None:
        return SearchConfig()
    settings = read_experiment(run).get("settings")
    if settings is None:
        raise InvalidInput(f"{run}/experiment.json holds no settings; name the data with --data")
    return SearchConfig.from_dict(settings)


def for_classes(network: str, arch: ArchSpec, dataset: Dataset) -> ArchSpec:
    """Return `arch`, a reference network with the classes of the data; any other spec stays as it was written.

    For maps and sequences a reference network takes their size and channels too, for waveforms a log-mel front end.
    """
    if not is_reference(network) and network not in AUDIO:
        return arch
    if dataset.is_images:
        return replace(arch, num_classes=dataset.num_classes)
    if dataset.sample_rate is not None:
        return behind_log_mel(arch, dataset.size.height, dataset.sample_rate, dataset.num_classes)
    return with_input(arch, dataset.size, dataset.channels, dataset.num_classes)


def proxy_subject(
    network: str,
    arch: ArchSpec,
    dataset: Dataset,
    *,
    resolution: SizeLike | None = None,
    width: float | None = None,
    from_supernet: bool = False,
) -> TrainingSubject:
    """Return the proxy of `arch`: as the run `network` had it, as `resolution` and `width` say, or as `quick` would.

    `from_supernet` starts from the weights that the run inherited from its supernet.
    """
    target, share = arch.input_shape.size, QUICK.proxy_width
    size = proxy_size(QUICK, dataset.size, target, resolution, images=dataset.is_images, waveforms=dataset.is_waveforms)
    if (run := run_of(network)) is not None:
        result = result_of_run(run)
        size, share = Size.of(resolution or result.proxy_resolution), result.proxy_width
    share = width or share
    small = scale_down(arch, size, share)
    note = dropped_strides_note(strides_of(arch), strides_of(small))
    if not from_supernet:
        return TrainingSubject(small, share, strides_note=note)
    weights, _ = load_weights((run or Path(network)) / "inherited.safetensors", small)
    return TrainingSubject(small, share, weights, note, "the supernet's weights")


def started_from(subject: TrainingSubject, source: str, seed: int) -> TrainingSubject:
    """Return `subject` with the weights that fit it in a file, or in the folder of a training; the rest is random."""
    found = start_weights(Path(source), subject.arch, seed)
    return replace(
        subject, weights=found.weights, start="the weights that fit", start_lines=found.lines, random=found.random
    )  # fmt: skip


def check_supernet_of(
    network: str, dataset: Dataset, by: str, *, own_data: bool, accept_changes: bool = False
) -> tuple[str, ...]:
    """Return lines on what has changed of that which the supernet of the run `network` depends on; see `check_use`.

    `own_data` says whether the images are meant to be those of the run, prepared as there.
    """
    if not is_run(network):
        return ()
    return check_use(Path(network), config_of_run(network), dataset, by, accept=accept_changes, own_data=own_data)
