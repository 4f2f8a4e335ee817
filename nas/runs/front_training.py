"""The best of a finished search trained alone, the weak ones stopped early: what `nas finalists` does.

The candidates are the best of the run's front within the latency budget; they are trained as proxies on the run's own
training images, and measured on its validation images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.arch import load_arch
from nas.data import Dataset
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.results import Result
from nas.records.tables import rows_of
from nas.runs.data_of_run import load_data_of_run
from nas.runs.dependencies import check_use, home_of
from nas.runs.plan import ROUNDING, TOLERANCE
from nas.runs.settings import SearchConfig
from nas.space.scaling import scale_down
from nas.supernet.presets import load_preset
from nas.training.candidates import (
    HALVING,
    Candidate,
    CandidateRow,
    CandidateTrainings,
    OnCandidateEpoch,
    check_scheduler,
    default_rungs,
    make_trainings,
    open_folder,
    ranking_table,
    run_halving,
    train_in_turn,
)
from nas.training.loop import TrainingConfig

IN_FLOATS = "accuracies of these trainings are in float32, those of the search in int8; nas rank RUN trains in int8"


def best_of_front(run: Path, result: Result, top: int) -> tuple[Candidate, ...]:
    """Return the `top` of the run's front that keep the latency budget, by the supernet's top-1; proxies are trained.

    `InvalidInput` where front.csv is missing or altered, or no architecture keeps the latency.
    """
    most = result.latency_budget * (1 + (TOLERANCE if _aims_around(run) else ROUNDING))
    kept = [row for row in rows_of(run / "front.csv") if row["latency"] <= most]
    kept.sort(key=lambda row: (-row["top1"], row["latency"]))
    if not kept:
        raise InvalidInput(f"nothing on the front of {run} keeps {result.latency_budget:.4g} {result.latency_unit}")
    found = []
    for row in kept[:top]:
        arch = load_arch(run / row["spec"])
        if arch.digest != row["digest"]:
            raise InvalidInput(f"{run / row['spec']} is not the network of its line in front.csv: a file was altered")
        proxy = scale_down(arch, result.proxy_resolution, result.proxy_width)
        found.append(Candidate(arch.digest, proxy, row["latency"], row["latency_unit"], row["top1"]))
    return tuple(found)


def _aims_around(run: Path) -> bool:
    """Return whether the latency budget of a run was met on either side: else it is an upper bound."""
    return read_experiment(run).get("settings", {}).get("around", True) is not False


@dataclass(frozen=True)
class RunImages:
    """The images of a run, the validation fraction and the seed of their split, and lines on what has changed."""

    dataset: Dataset
    split: tuple[float, int]
    lines: tuple[str, ...]


def images_of_run(run: Path, data: str | None = None, *, accept_changes: bool = False) -> RunImages:
    """Return the images of the run, from `data` where named; what it depends on is as it was, or accepted."""
    home, about = home_of(run)
    stored = read_experiment(run)
    try:
        config = SearchConfig.from_dict(stored["settings"])
        split = (load_preset(config.preset).validation_fraction, int(config.seed))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{run}/experiment.json lacks what names its images ({error}); search again") from error
    dataset = load_data_of_run(home, config, about["data"], data)
    lines = check_use(run, config, dataset, "finalists", accept=accept_changes)
    return RunImages(dataset, split, (*lines, *([IN_FLOATS] if config.is_int8 else [])))


@dataclass(frozen=True)
class FrontTrainings:
    """The candidates of a front, what their trainings share, and lines for whoever follows them."""

    candidates: tuple[Candidate, ...]
    trainings: CandidateTrainings
    lines: tuple[str, ...]


def open_trainings(
    run: Path, result: Result, top: int, config: TrainingConfig, scheduler: str, out: Path, data: str | None = None,
    *, accept_changes: bool = False,
) -> FrontTrainings:  # fmt: skip
    """Make `out` the folder of these trainings, or check that it is, and return candidates and trainings.

    The seed of `config` is replaced by that of the run's split. `data` is where the run's images are now. Where
    something that the run depends on has changed, that is refused, or with `accept_changes` recorded.
    """
    check_scheduler(scheduler)
    candidates = best_of_front(run, result, top)
    images = images_of_run(run, data, accept_changes=accept_changes)
    own = TrainingConfig(config.epochs, config.batch_size, config.optimizer, seed=images.split[1])
    trainings = make_trainings([one.arch for one in candidates], images.dataset, own, out, split=images.split)
    about = {"scheduler": scheduler, "split": list(images.split), "settings": trainings.config.to_dict()}
    open_folder(out, candidates, images.dataset, about)
    return FrontTrainings(candidates, trainings, images.lines)


def train_candidates(
    candidates: Sequence[Candidate],
    trainings: CandidateTrainings,
    scheduler: str,
    on_epoch: OnCandidateEpoch,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> list[CandidateRow]:
    """Train the candidates in this process, or under Ray Tune where workers or a cluster are named; the best first."""
    if workers is None and address is None:
        if scheduler != HALVING:
            raise InvalidInput(f"the scheduler {scheduler} runs under Ray: add --workers N")
        rungs = default_rungs(candidates, trainings)
        return ranking_table(candidates, run_halving(candidates, rungs, train_in_turn(trainings, on_epoch)))
    from nas.distributed.trials import run_trials  # Ray is imported where it is asked for

    return run_trials(
        candidates, trainings, scheduler=scheduler, workers=workers or 1, address=address, on_epoch=on_epoch
    )
