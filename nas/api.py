"""The engine from Python, typed: everything that the command line does. Tables are pandas data frames.

    from nas import search, load, predict, compare, export

    found = search("runs/mine", target="edgetpu", latency_ms=0.8)
    print(found.latency, found.accuracy.top1, found.arch.stages)
    print(load("runs/mine").front[["latency", "top1", "arch"]])
    print(predict(["runs/mine", "mobilenetv4-conv-s"], ["edgetpu", "rpi5"]))
    compare(["runs/mine", "mobilenetv2"], ["edgetpu", "rpi5"], out="compared").regrets
    export("runs/mine", "found.onnx")

Wherever a network is asked for, an `ArchSpec` will do, a reference's name (`zoo()`), a spec file, or the folder of a
run or training. Nothing heavy is imported before it is needed (`nas.registry.lazy`). Bad input
raises `InvalidInput` or `UnknownName`. Names of spaces, targets, algorithms, data sets, costs, evaluators, exporters
and runtimes are those of nas/registry.py, or "module:attribute"; a name in a run's files counts only where a call of
this process names it too.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from latency_models.target import int8_target, list_targets, load_target, target_names
from nas.arch import ArchSpec
from nas.data import Preparation
from nas.errors import InvalidInput, Stopped, unknown_name
from nas.export.folders import atomic_folder, check_new_folder
from nas.files import read_json
from nas.measure.dtypes import dtype_measured
from nas.ops import Size, SizeLike
from nas.progress import Callbacks, Evaluation, Progress, ProgressReporter, SilentReporter
from nas.quantisation.config import QuantisationConfig
from nas.records.experiment import read_experiment
from nas.records.front import spec_of_point
from nas.records.locks import locked
from nas.records.networks import UNIVERSAL, resolve
from nas.records.results import result_of_run
from nas.registry import (
    DEFAULT_FORMAT,
    DEFAULT_TARGET,
    ENDINGS,
    EXPORTERS,
    FRONT_ALGORITHM,
    INT8_EXPORTERS,
    RUNTIMES,
    SPACES,
    lazy,
    stating,
)
from nas.registry import load as registered
from nas.report.describe import describe as described
from nas.report.describe import forest_row, target_rows, zoo_rows
from nas.report.spaces import space_row
from nas.runs.data_of_run import absolute
from nas.runs.settings import IMAGENET_PX, SearchConfig
from nas.space.compound import Coefficients, compound_scaled, largest_phi
from nas.zoo import ZOO

if TYPE_CHECKING:
    import pandas as pd

    from latency_models.calibration import calibrate as calibration_fit
    from latency_models.calibration import doubts as calibration_doubts
    from latency_models.calibration import kept as calibration_kept
    from latency_models.calibration import measurements as measured_latencies
    from latency_models.calibration.calibrate import CalibrationReport
    from latency_models.target import Dtype
    from nas.compare import compare as comparing
    from nas.compare import files as comparison_files
    from nas.compare.compare import Comparison
    from nas.export import options as export_options
    from nas.export import sources as export_sources
    from nas.export.calibration import Int8Calibration
    from nas.measure import benchmark
    from nas.ops.log_mel import Transform
    from nas.records.results import Result
    from nas.report import training_page as training_pages
    from nas.report.describe import Description
    from nas.runs import deploy as deployment
    from nas.runs import front_config as front_configs
    from nas.runs import (
        front_training,
        joint_search,
        listing,
        multi_target,
        multi_target_settings,
        single_training,
        transfer,
    )
    from nas.runs import load_run as run_data
    from nas.runs import measured_top as measured_candidates
    from nas.runs import outside_start as outside_starts
    from nas.runs import ranking as ranking_runs
    from nas.runs import reinforce as reinforcing
    from nas.runs import teachers as training_teachers
    from nas.runs import workers as run_workers
    from nas.runs.deploy import Deployment
    from nas.runs.front_config import FrontConfig
    from nas.runs.load_run import RunData
    from nas.runs.measured_top import MeasuredTop
    from nas.runs.multi_target import MultiTargetResult
    from nas.search import strategy as strategies
    from nas.search.accuracy.ranking import RankingEvidence
    from nas.training import candidates as candidate_training
    from nas.training import fine_tuning, optimizers
    from nas.training import loop as training_loop
    from nas.training import qat_config as training_qat
    from nas.training import recipe as recipes
    from nas.training.loop import TrainingProgress, TrainResult
else:  # what is heavy is imported when it is first used
    benchmark = lazy("nas.measure.benchmark")
    calibration_doubts = lazy("latency_models.calibration.doubts")
    calibration_fit = lazy("latency_models.calibration.calibrate")
    calibration_kept = lazy("latency_models.calibration.kept")
    candidate_training = lazy("nas.training.candidates")
    comparing = lazy("nas.compare.compare")
    comparison_files = lazy("nas.compare.files")
    front_training = lazy("nas.runs.front_training")
    joint_search = lazy("nas.runs.joint_search")
    listing = lazy("nas.runs.listing")
    measured_candidates = lazy("nas.runs.measured_top")
    measured_latencies = lazy("latency_models.calibration.measurements")
    multi_target = lazy("nas.runs.multi_target")
    multi_target_settings = lazy("nas.runs.multi_target_settings")
    optimizers = lazy("nas.training.optimizers")
    pd = lazy("pandas")
    deployment = lazy("nas.runs.deploy")
    export_options = lazy("nas.export.options")
    export_sources = lazy("nas.export.sources")
    front_configs = lazy("nas.runs.front_config")
    run_data = lazy("nas.runs.load_run")
    ranking_runs = lazy("nas.runs.ranking")
    run_workers = lazy("nas.runs.workers")
    single_training = lazy("nas.runs.single_training")
    reinforcing = lazy("nas.runs.reinforce")
    training_teachers = lazy("nas.runs.teachers")
    strategies = lazy("nas.search.strategy")
    training_loop = lazy("nas.training.loop")
    outside_starts = lazy("nas.runs.outside_start")
    training_pages = lazy("nas.report.training_page")
    outside_starts = lazy("nas.runs.outside_start")
    transfer = lazy("nas.runs.transfer")
    fine_tuning = lazy("nas.training.fine_tuning")
    recipes = lazy("nas.training.recipe")
    training_qat = lazy("nas.training.qat_config")

Network = ArchSpec | str | Path
Front = bool | tuple[float | None, float | None]  # latencies from and to, None for as far as the space goes; True: all
OnStep = Callable[[Progress], object]  # returns True to stop
OnCandidate = Callable[[Evaluation], object]  # returns True to stop

__all__ = [
    "Network",
    "calibrate",
    "compare",
    "deploy",
    "describe",
    "export",
    "finalists",
    "load",
    "measure",
    "predict",
    "rank",
    "resume",
    "runs",
    "scale",
    "search",
    "spaces",
    "spec",
    "specialise",
    "targets",
    "train",
    "zoo",
]

# ------------------------------------------------------------------------------------------------------------ searching


@stating
def search(
    out: str | Path,
    *,
    space: str = "uib",
    target: str | None = None,
    latency_ms: float | None = None,
    latency_ratio: float | None = None,
    front: Front | None = None,
    front_points: int = 8,
    around: bool = False,
    baseline: str = "mobilenetv4-conv-s",
    ridge_point: float | None = None,
    peak_gmacs_per_s: float | None = None,
    latency_model: str = "default",
    max_params: int | None = None,
    max_macs: int | None = None,
    max_memory_kb: float | None = None,
    max_flash_kb: float | None = None,
    max_energy_mj: float | None = None,
    forest_bounds: Sequence[str] = (),
    minimize: Sequence[str] = (),
    data: str = "digits",
    data_dir: str | None = None,
    resolution: SizeLike | None = None,
    drop_strides: bool = False,
    preset: str = "quick",
    one_stage: bool = False,
    finalists: int | None = None,
    accuracy_model: str | None = None,
    core_hours: float | None = None,
    supernet_share: float = 0.2,
    proxy_resolution: SizeLike | None = None,
    proxy_width: float | None = None,
    window_ms: Sequence[float] = (),
    hop_ms: Sequence[float] = (),
    bands: Sequence[int] = (),
    dft: "Transform" = "matmul",
    quantize: Literal["int8"] | None = None,
    seed: int = 0,
    weights: str | Path | None = None,
    preparation: Preparation | None = None,
    algorithm: str = "joint",
    trials: int | None = None,
    evaluator: str = "supernet",
    workers: int | None = None,
    ray_address: str | None = None,
    accept_changes: bool = False,
    on_step: OnStep | None = None,
    on_candidate: OnCandidate | None = None,
    reporter: ProgressReporter | None = None,
) -> "Result":
    """Search into the new folder `out` and return the network found; where `out` holds the same search, go on with it.

    Arguments are the flags of `nas search`; without a target and a ridge point the target is pixel6-cpu. `trials` and
    `evaluator` go with other algorithms than "joint". `front` asks for a whole one, `front_points` networks for
    latencies between two, as far as the space reaches for True; the network returned is the one nearest to the
    reference network, `load(out).front` has all. Candidates are evaluated (joint: retrained) by `workers` Ray
    processes, here or on the cluster at `ray_address`; by default in this process, without Ray. `preparation` (of
    `nas.data`) says how images become squares, are augmented and weighted by class. `on_step` gets a
    `Progress` after every report, `on_candidate` an `Evaluation` for every candidate; one that returns True stops the
    search: `Stopped` is raised, everything is kept, and the same call goes on. `quantize` "int8" ranks candidates by
    their accuracy in int8 and prices them on the target's form in int8.
    """
    target = target or (DEFAULT_TARGET if ridge_point is None else None)
    target = target if target is None or quantize is None else int8_target(target)
    config = {
        "space": space, "target": target, "latency_ms": latency_ms, "latency_ratio": latency_ratio,
        "around": around, "baseline": baseline,
        "ridge_point": ridge_point, "peak_gmacs_per_s": peak_gmacs_per_s, "latency_model": latency_model,
        "max_params": max_params, "max_macs": max_macs, "max_memory_kb": max_memory_kb, "max_flash_kb": max_flash_kb,
        "max_energy_mj": max_energy_mj, "forest_bounds": tuple(forest_bounds), "minimize": tuple(minimize),
        **absolute(data, data_dir),
        "resolution": _stored(resolution), "drop_strides": drop_strides, "preset": preset, "one_stage": one_stage,
        "finalists": finalists, "accuracy_model": accuracy_model,
        "core_hours": core_hours, "supernet_share": supernet_share,
        "proxy_resolution": _stored(proxy_resolution), "proxy_width": proxy_width, "seed": seed,
        "weights": None if weights is None else outside_starts.absolute_source(str(weights)),
        "window_ms": tuple(window_ms), "hop_ms": tuple(hop_ms), "bands": tuple(bands), "dft": dft,
        "quantize": quantize,
        **asdict(preparation or Preparation()),
    }  # fmt: skip

    shown = reporter or Callbacks(on_step, on_candidate)
    whole = _front_config(front, front_points)
    if whole is not None and algorithm == "joint":
        algorithm = FRONT_ALGORITHM
    if not strategies.strategy(algorithm).joint:
        found = _search_targets(
            Path(out), config, [target],
            (() if latency_ms is None else (latency_ms,)), algorithm, trials, evaluator, False,
            workers, ray_address, shown, whole, accept_changes,
        )  # fmt: skip
        return next(iter(found.results.values()))
    if trials is not None or evaluator != "supernet":
        raise InvalidInput("trials and evaluator go with an algorithm over a supernet trained once, not with joint")
    return _search_jointly(Path(out), config, workers, ray_address, shown, accept_changes)


@stating
def specialise(
    out: str | Path,
    targets: Sequence[str],
    *,
    algorithm: str = "nsga2",
    trials: int | None = None,
    universal: bool = False,
    latencies_ms: Sequence[float] = (),
    front: Front | Sequence[Front] | None = None,
    front_points: int = 8,
    evaluator: str = "supernet",
    space: str = "uib",
    latency_model: str = "default",
    max_params: int | None = None,
    max_macs: int | None = None,
    max_memory_kb: float | None = None,
    max_flash_kb: float | None = None,
    max_energy_mj: float | None = None,
    forest_bounds: Sequence[str] = (),
    minimize: Sequence[str] = (),
    data: str = "digits",
    data_dir: str | None = None,
    resolution: SizeLike | None = None,
    drop_strides: bool = False,
    preset: str = "quick",
    proxy_resolution: SizeLike | None = None,
    proxy_width: float | None = None,
    window_ms: Sequence[float] = (),
    hop_ms: Sequence[float] = (),
    bands: Sequence[int] = (),
    dft: "Transform" = "matmul",
    quantize: Literal["int8"] | None = None,
    seed: int = 0,
    weights: str | Path | None = None,
    preparation: Preparation | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    accept_changes: bool = False,
    on_step: OnStep | None = None,
    on_candidate: OnCandidate | None = None,
    reporter: ProgressReporter | None = None,
) -> "dict[str, Result]":
    """Train one supernet, search it for each of `targets`, and return the network found for each; else as `search`.

    `trials` are per target and stage, by default those of the preset; `latencies_ms` one per target, by default that of
    a reference network. `universal` adds one network for all targets, under that name. `front` asks for a whole one as
    in `search`, over one range for all targets or, in a list, one for each.
    """
    config = {
        "space": space, "latency_model": latency_model, "max_params": max_params, "max_macs": max_macs,
        "max_memory_kb": max_memory_kb, "max_flash_kb": max_flash_kb, "max_energy_mj": max_energy_mj,
        "forest_bounds": tuple(forest_bounds), "minimize": tuple(minimize),
        **absolute(data, data_dir),
        "resolution": _stored(resolution), "drop_strides": drop_strides, "preset": preset,
        "proxy_resolution": _stored(proxy_resolution), "proxy_width": proxy_width, "seed": seed,
        "weights": None if weights is None else outside_starts.absolute_source(str(weights)),
        "window_ms": tuple(window_ms), "hop_ms": tuple(hop_ms), "bands": tuple(bands), "dft": dft,
        "quantize": quantize,
        **asdict(preparation or Preparation()),
    }  # fmt: skip
    targets = targets if quantize is None else [int8_target(name) for name in targets]
    found = _search_targets(
        Path(out), config, targets, latencies_ms, algorithm, trials, evaluator, universal,
        workers, ray_address, reporter or Callbacks(on_step, on_candidate), _front_config(front, front_points),
        accept_changes,
    )  # fmt: skip
    return _named_results(found)


@stating
def resume(
    run: str | Path,
    *,
    more_trials: int = 0,
    workers: int | None = None,
    ray_address: str | None = None,
    data: str | None = None,
    accept_changes: bool = False,
    on_step: OnStep | None = None,
    on_candidate: OnCandidate | None = None,
    reporter: ProgressReporter | None = None,
) -> "dict[str, Result]":
    """Go on with the search in the folder `run`, and return what it found by target; a finished one is just read.

    `data` is where its images are now, by default where they were or beside the run. Where target, space, forests,
    data or settings have changed since it began, that is refused, or with `accept_changes` recorded in its files.
    `more_trials` extends a finished search of another algorithm than joint, by so many trials per target.
    """
    folder, shown = Path(run), reporter or Callbacks(on_step, on_candidate)
    if not (folder / "experiment.json").exists():
        raise InvalidInput(f"{folder} is no run folder: it has no experiment.json")
    stored = read_experiment(folder)
    if stored.get("schema") == joint_search.SCHEMA:
        if more_trials:
            raise InvalidInput(f"{folder} is a joint search: more_trials goes with runs of another algorithm")
        config = SearchConfig.from_dict(stored.get("settings"))
        trainers = run_workers.open_trainers(workers, ray_address, config)
        result = joint_search.resume(folder, shown, trainers=trainers, data=data, accept_changes=accept_changes)
        return {result.target: result}
    by = run_workers.open_executor(workers, ray_address), run_workers.alone_on(workers, ray_address)
    return _named_results(
        multi_target.resume(
            folder, shown, workers=by[0], trainers=by[1], more=more_trials, data=data, accept_changes=accept_changes
        )
    )


@stating
def load(run: str | Path, *, space: str | None = None) -> "RunData":
    """Return a finished run as data: `result`, and `front`, `evaluated` and `history` as data frames with their specs.

    For a run of several targets name the folder of one: RUN/TARGET. `space` repeats that of the run where it is
    "module:attribute": a file alone runs no code.
    """
    return run_data.load_run(Path(run))


@stating
def runs(folder: str | Path = "runs") -> "pd.DataFrame":
    """Return the runs below a folder, a row each, as `nas runs` lists them: path, kind, state, target, best so far."""
    return pd.DataFrame([asdict(run) for run in listing.runs_below(Path(folder))])


@stating
def finalists(
    run: str | Path,
    out: str | Path | None = None,
    *,
    top: int = 8,
    epochs: int = 30,
    batch_size: int = 128,
    learning_rate: float | None = None,
    scheduler: str = "halving",
    workers: int | None = None,
    ray_address: str | None = None,
    accept_changes: bool = False,
) -> "pd.DataFrame":
    """Train the `top` of a run's front alone, the weak ones stopped early, and return the ranking, the best first.

    Columns are those of finalists.csv, which is written into `out` (by default RUN-finalists). The same call goes on
    with what the folder holds. Schedulers other than "halving" run under Ray: give `workers`.
    """

    folder = Path(run)
    to = Path(out) if out is not None else folder.with_name(f"{folder.name}-finalists")
    config = _training_config(epochs, batch_size, learning_rate, 0)
    opened = front_training.open_trainings(
        folder, result_of_run(folder), top, config, scheduler, to, accept_changes=accept_changes
    )
    with locked(to):
        rows = front_training.train_candidates(
            opened.candidates, opened.trainings, scheduler, lambda *_: None, workers=workers, address=ray_address
        )  # fmt: skip
        candidate_training.write_table(rows, to)
    return pd.DataFrame([asdict(row) for row in rows])


@stating
def rank(
    run: str | Path,
    out: str | Path | None = None,
    *,
    networks: int = 32,
    seeds: int = 2,
    epochs: int = 3,
    supernet_steps: int = 0,
    workers: int | None = None,
    ray_address: str | None = None,
) -> "RankingEvidence":
    """Return what ranks networks on the images of a run: Kendall's tau of each predictor, and the noise ceiling.

    Random networks within the run's constraints are trained alone with several seeds. rank.csv, rank.json and a picture
    are written into `out` (by default RUN-rank). The same call goes on with what the folder holds, and adds to it.
    """

    folder = Path(run)
    to = Path(out) if out is not None else folder.with_name(f"{folder.name}-rank")

    def config(search: SearchConfig) -> "ranking_runs.RankingConfig":
        return ranking_runs.RankingConfig(search, networks, seeds, epochs, supernet_steps=supernet_steps)

    ranking = ranking_runs.ranking_of_run(folder, config)
    to.mkdir(parents=True, exist_ok=True)
    with locked(to):
        ranking_runs.rank(ranking, to, SilentReporter(), run_workers.open_trainees(workers, ray_address))
    return ranking_runs.load_evidence(to)


# ------------------------------------------------------------------------------------------- networks and their costs


@stating
def describe(
    network: Network, target: str = DEFAULT_TARGET, *, latency_model: str = "default", forests: Sequence[str] = ()
) -> "Description":
    """Return what a network costs on a device, with a row per kernel; `forests` are files of forests to ask too."""
    arch = spec(network)
    description = described(arch, load_target(target).model(latency_model))
    return replace(description, forests=tuple(forest_row(path, arch) for path in forests))


@stating
def predict(
    networks: Network | Sequence[Network],
    targets: str | Sequence[str] = ("all",),
    *,
    latency_model: str = "default",
    kernels: bool = False,
) -> "pd.DataFrame":
    """Return what networks cost on devices: a row per network and target, or with `kernels` per kernel.

    Columns: network, target, latency_ms (of a batch, predicted), latency_error_percent (half-width that holds 90 % of
    unseen networks, None where no error is known), latency_error (its basis), setup (runtime, threads, dtype), macs,
    params, weight_bytes, peak_activation_bytes, caution ("" where the prediction is as good as others). Per kernel:
    network, target, and the fields of `nas.report.describe.KernelRow`, with latency in ms.
    """

    named = [networks] if isinstance(networks, ArchSpec | str | Path) else list(networks)
    requested = [targets] if isinstance(targets, str) else list(targets)
    models = {
        name: load_target(name).model(latency_model)
        for name in (target_names() if requested == ["all"] else requested)
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for network in named:
        arch, label = spec(network), _label(network)
        for target, model in models.items():
            description = described(arch, model)
            own = {"network": label, "target": target}
            if kernels:
                rows += [own | row.to_json("latency_ms") for row in description.kernels]
                continue
            rows.append(
                own
                | {
                    "latency_ms": description.latency,
                    "latency_error_percent": description.latency_error.percent,
                    "latency_error": description.latency_error.basis,
                    "setup": description.setup,
                    "macs": description.macs,
                    "params": description.params,
                    "weight_bytes": description.weight_bytes,
                    "peak_activation_bytes": description.peak_activation_bytes,
                    "caution": description.caution or "",
                }
            )
    return pd.DataFrame(rows)


@stating
def scale(
    network: Network,
    phi: float | None = None,
    *,
    latency_ms: float | None = None,
    target: str = DEFAULT_TARGET,
    latency_model: str = "default",
    depth: float = 1.2,
    width: float = 1.1,
    resolution: float = 1.15,
) -> ArchSpec:
    """Return a network by compound scaling: its depth times depth^phi, its width times width^phi, and so on.

    Give the coefficient `phi`, from -10 to 10, or `latency_ms`: phi is then the largest, in steps of 0.01, for which
    `target` is predicted to take at most that. The network returned has its phi in its name, and no weights. Raises
    `InvalidInput` where both or neither are given, or no coefficient reaches the latency.
    """
    base, arch = Coefficients(depth, width, resolution), spec(network)
    if (phi is None) == (latency_ms is None):
        raise InvalidInput(f"scale takes either phi or latency_ms, got {'neither' if phi is None else 'both'}")
    if phi is None:
        assert latency_ms is not None
        phi = largest_phi(arch, load_target(target).model(latency_model), latency_ms, base)
    return compound_scaled(arch, phi, base)


@stating
def compare(
    items: Sequence[str | Path],
    targets: Sequence[str] = ("all",),
    *,
    latency_model: str = "default",
    energy: bool = False,
    out: str | Path | None = None,
) -> "Comparison":
    """Return networks side by side on devices; its tables are `rows`, `optimal`, `hypervolumes` and `regrets`.

    See `nas.compare.compare.compare` for what may be an item. With `out`, the page, the tables and plots go into that
    new folder.
    """
    comparison = comparing.compare(items, targets, latency_model, energy=energy)
    if out is not None:
        check_new_folder(Path(out))
        with atomic_folder(Path(out)) as folder:
            comparison_files.write(comparison, folder)
    return comparison


@stating
def targets() -> "pd.DataFrame":
    """Return the registered devices, a row each, as `nas targets --json` lists them."""
    return pd.DataFrame(target_rows(list_targets()))


@stating
def zoo() -> "pd.DataFrame":
    """Return the reference networks, a row each: costs, published accuracy and its source."""
    return pd.DataFrame(zoo_rows(ZOO))


@stating
def spaces(target: str | None = None, *, resolution: SizeLike = 224) -> "pd.DataFrame":
    """Return the registered search spaces, a row each: decisions and size, with a target also the reachable latencies.

    Columns: name, resolution, num_classes, decisions, size, coarse_decisions, coarse_size (None without a supernet);
    with `target` also min_latency_ms and max_latency_ms.
    """
    model = load_target(target).model() if target else None
    return pd.DataFrame([space_row(name, resolution, model) for name in SPACES])


@stating
def spec(network: Network) -> ArchSpec:
    """Return the architecture that `network` names."""
    return network if isinstance(network, ArchSpec) else resolve(network).arch


# --------------------------------------------------------------------------------------- training, export, measurement


@stating
def train(
    network: Network,
    out: str | Path,
    *,
    data: str | None = None,
    data_dir: str | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    validation: float | None = None,
    patience: int | None = None,
    precision: str = "auto",
    proxy: bool = False,
    proxy_resolution: SizeLike | None = None,
    proxy_width: float | None = None,
    weights: str | Path | None = None,
    start_from: str | Path | None = None,
    from_supernet: bool = False,
    frozen_stages: int = 0,
    rate_decay_per_stage: float = 1.0,
    accept_changes: bool = False,
    teacher: str | Path | None = None,
    tolerant_teacher: str | Path | None = None,
    teacher_share: float = 0.5,
    temperature: float = 2.0,
    quantize: str | None = None,
    qat_share: float = 0.1,
    qat_rate: float = 0.01,
    seed: int = 0,
    preparation: Preparation | None = None,
    on_step: "Callable[[TrainingProgress], object] | None" = None,
) -> "TrainResult":
    """Train one network, or its proxy, alone; return its weights and test accuracy, and write them into `out`.

    `data` is by default that of the run that `network` names, else the digits; `preparation` too. It starts from
    random weights, from what fits of `weights`, a file or the folder of a training, or `from_supernet`. A `teacher`,
    a training, a run or NETWORK=FILE of weights, answers for the images of every step: `teacher_share` of the loss,
    at a `temperature`; of regression a `tolerant_teacher` may stand beside it, who was trained on smoothed targets.

    A `recipe`, a name or a .toml file, by default "ours", says what the arguments leave at None. A share `validation`
    of the training images is looked at after each epoch, and `patience` epochs without a better result end the
    training. It may `start_from` a training, also on other data: then the first `frozen_stages` may stay as they are,
    and each stage learn at `rate_decay_per_stage` times the rate of the next. `precision` is that of activations:
    auto, float32 or bfloat16. With `quantize` "int8" the last `qat_share` of the steps round weights and activations as
    an int8 file does, at `qat_rate` of the learning rate. `out` is new, or holds the same training, which then goes on;
    it gets report.html too. An `on_step` that returns True stops it as Ctrl-C would: `Stopped` is raised.
    """
    name = "" if isinstance(network, ArchSpec) else spec_of_point(str(network))
    if (proxy_resolution is not None or proxy_width is not None or from_supernet) and not proxy:
        raise InvalidInput("proxy_resolution, proxy_width and from_supernet go with proxy=True")
    asked = asdict(preparation) if preparation else {}
    dataset = single_training.training_data(name, Path(out), data, data_dir, **asked)
    if from_supernet:
        own = data is None and preparation is None
        single_training.check_supernet_of(name, dataset, "train", own_data=own, accept_changes=accept_changes)
    arch = single_training.for_classes(name, spec(network), dataset)
    arch = arch if start_from is None else transfer.with_outputs_of(arch, dataset)
    subject = single_training.TrainingSubject(arch)
    if proxy:
        subject = single_training.proxy_subject(
            name, subject.arch, dataset, resolution=proxy_resolution, width=proxy_width, from_supernet=from_supernet
        )
    if (weights is not None) + (start_from is not None) + from_supernet > 1:
        raise InvalidInput("a training starts from weights, from a training or from the supernet; give one")
    if weights is not None:
        subject = single_training.started_from(subject, str(weights), seed)
    if start_from is not None:
        subject = transfer.started_from_training(subject, str(start_from), dataset, seed)
    tuning = fine_tuning.FineTuning(frozen_stages, rate_decay_per_stage)
    settings: Any = epochs, batch_size, learning_rate, validation, patience, seed, precision, tuning
    config = recipes.resolved(recipes.load_recipe(recipe or recipes.DEFAULT), recipes.Overrides(*settings))
    if quantize not in (None, "int8"):
        raise unknown_name("quantisation", str(quantize), ["int8"])
    if quantize is not None:
        config = replace(config, qat=training_qat.QATConfig(qat_share, qat_rate))
    subject.check_frozen(tuning)

    def step(event: "TrainingProgress") -> None:
        if on_step is not None and on_step(event) is True:
            raise Stopped(f"on_step stopped the training at step {event.step} of {event.steps}")

    result: TrainResult = training_loop.train(
        subject.arch, dataset, config, Path(out), step,
        initial_weights=subject.weights, proxy_width=subject.proxy_width,
        teacher=_teachers(teacher, tolerant_teacher, teacher_share, temperature).load(dataset),
        recipe=recipe,
    )  # fmt: skip
    training_pages.write_training_page(Path(out))
    return result


def _teachers(
    teacher: str | Path | None, tolerant: str | Path | None, share: float, temperature: float
) -> "training_teachers.TeacherConfig":
    """Return who teaches in a training; share and temperature count for one teacher alone."""
    if tolerant is not None and teacher is None:
        raise InvalidInput("tolerant_teacher stands beside teacher, the tough one; give both")
    one = teacher is not None and tolerant is None
    tough, other = (None if text is None else str(text) for text in (teacher, tolerant))
    return training_teachers.TeacherConfig(tough, other, share if one else None, temperature if one else None)


@stating
def export(
    network: Network,
    out: str | Path,
    *,
    form: str | None = None,
    weights: str | Path | None = None,
    random_weights: bool = False,
    calibration: "Int8Calibration | None" = None,
    input: str = "float32",
    opset: int | None = None,
) -> list[str]:
    """Write a network for use elsewhere into the new file or folder `out`, and return lines about what was written.

    `form` is a format of `nas export`, by default that of the ending of `out`, "flax" for a folder. `weights` is the
    folder of a training or a file of weights; by default those of `network`, a training, or of the training of the
    network that the run `network` found. A spec or a reference has random ones, and the file says so; so has a run
    with `random_weights`. `input` "uint8" puts the normalisation into the file. `opset` is that of an ONNX file. With
    `calibration`, what `nas.export.calibration.load_calibration` returns, the file is int8.
    """

    arch, path = spec(network), Path(out)
    name = form or next((form for form, ending in ENDINGS.items() if ending == path.suffix), "flax")
    write = registered("format", EXPORTERS if calibration is None else INT8_EXPORTERS, name)
    text = "" if isinstance(network, ArchSpec) else spec_of_point(str(network))
    found = export_sources.find_weights(text, name, weights, random_weights=random_weights)
    source = export_sources.load_source(arch, text, found)
    quantisation = {} if calibration is None else {"calibration": calibration}
    pixels = export_options.uint8_input(input, source.signature)
    options = export_options.exporter_arguments(name, export_options.FileOptions(pixels, opset))
    return list(write(arch, path, **source.arguments(), **quantisation, **options))


@stating
def deploy(
    network: str | Path,
    out: str | Path | None = None,
    *,
    data: str | None = None,
    data_dir: str | None = None,
    form: str = DEFAULT_FORMAT,
    quantize: str | None = None,
    calibration: str | None = None,
    calibration_images: int | None = None,
    calibration_method: str | None = None,
    keep_float: Sequence[str] = (),
    max_drop_points: float | None = None,
    input: str = "float32",
    opset: int | None = None,
    measure: bool = False,
    weights: str | Path | None = None,
    from_supernet: bool = False,
    accept_changes: bool = False,
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    teacher: str | Path | None = None,
    tolerant_teacher: str | Path | None = None,
    teacher_share: float = 0.5,
    temperature: float = 2.0,
    seed: int = 0,
    preparation: Preparation | None = None,
    on_step: "Callable[[TrainingProgress], object] | None" = None,
) -> "Deployment":
    """Train a network at full size, export it into the folder `out`, and return what was written: `nas deploy`.

    `network` is a run, whose data is the default, a training, which is not trained again, a spec file or a reference.
    `out` is by default RUN-deployed; the same call goes on where it was stopped, and leaves what is done. The training
    starts from random weights, from the file `weights`, or, where the run's proxies had full width, `from_supernet`.
    `recipe`, `teacher` and the arguments behind them are those of `train`.
    `keep_float` are layers that stay in float32 with `quantize` "int8", as are those that `max_drop_points` takes.
    """
    config = deployment.DeployConfig(
        spec_of_point(str(network)),
        deployment.ExportConfig(
            form, quantize, input, opset, calibration, calibration_images,
            QuantisationConfig(calibration_method, tuple(keep_float), max_drop_points),
        ),
        recipes.resolved(
            recipes.load_recipe(recipe or recipes.DEFAULT),
            recipes.Overrides(epochs, batch_size, learning_rate, seed=seed),
        ),
        data, data_dir, asdict(preparation) if preparation else {}, None if weights is None else str(weights),
        from_supernet, measure, accept_changes, recipe,
        _teachers(teacher, tolerant_teacher, teacher_share, temperature),
    )  # fmt: skip
    folder = Path(out) if out is not None else config.default_out

    def step(event: "TrainingProgress") -> None:
        if on_step is not None and on_step(event) is True:
            raise Stopped(f"on_step stopped the training at step {event.step} of {event.steps}")

    return deployment.deploy(config, deployment.subject_of(config, folder), folder, step)


@stating
def measure(
    networks: Network | Sequence[Network],
    *,
    runtime: str = "onnxruntime",
    out: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    rounds: int = 40,
    repeats: int = 5,
) -> "pd.DataFrame":
    """Return the latency of networks on this host, a row each: arch (its label), latency_ms, spread, and conditions.

    With `out`, a CSV that a later call goes on with, as `nas measure` writes it; without it nothing is kept.
    """
    named = [networks] if isinstance(networks, ArchSpec | str | Path) else list(networks)
    archs = {_label(network): spec(network) for network in named}
    config = benchmark.BenchmarkConfig(threads, batch, rounds, repeats)
    with TemporaryDirectory() as scratch:
        to = Path(out) if out is not None else Path(scratch) / "measurements.csv"
        rows = benchmark.measure(archs, registered("runtime", RUNTIMES, runtime), config, to, advance=lambda *_: None)
    return pd.DataFrame([asdict(row) for row in rows])


@stating
def measure_candidates(
    run: str | Path,
    count: int = 5,
    *,
    runtime: str = "onnxruntime",
    threads: int = 1,
    rounds: int = 40,
    repeats: int = 5,
    out: str | Path | None = None,
) -> "MeasuredTop":
    """Measure the last candidates of a finished search on this host; return them, the answer first, and what follows.

    Up to `count` networks, as `nas measure RUN --top K`: into the folder of the run, or into the table `out`; a later
    call goes on. best.json gets the measured latency of the answer beside the predicted one.
    """
    config = benchmark.BenchmarkConfig(threads, 1, rounds, repeats)
    by, to = registered("runtime", RUNTIMES, runtime), None if out is None else Path(out)
    return measured_candidates.measure_top(Path(run), count, by, config, out=to, advance=lambda *_: None)


@stating
def calibrate(
    measurements: str | Path,
    name: str,
    *,
    like: str | None = None,
    dtype: "Dtype | None" = None,
    out: str | Path | None = None,
    force: bool = False,
) -> "CalibrationReport":
    """Fit a target to a table of measured latencies, write it as a .toml file, and return the fit with its errors.

    The measurements are kept beside it, for `add_measurements`. `out` is by default NAME.toml; `like` names a target of
    similar byte widths, which then gives the data type. Without both `like` and `dtype` it is that in which the runtime
    of the table computes, else fp32. A fit that is no better than chance is refused with `InvalidInput`, unless `force`
    is given.
    """
    path = Path(out) if out is not None else Path(f"{name}.toml")
    if path.exists():
        raise InvalidInput(f"{path} exists; choose another name or file, or remove it")
    base = load_target(like) if like else None
    measured = measured_latencies.read_measurements(Path(measurements))
    chosen = base.dtype if base else dtype or dtype_measured(measured.provenance.get("runtime")) or "fp32"
    report = calibration_fit.calibrate(measured, name, like=base, dtype=chosen, with_peers=True)
    calibration_doubts.refuse_chance(report.doubt, path, force)
    kept = calibration_kept.KeptMeasurements(measured, chosen, base)
    calibration_kept.save_calibrated(report.target, kept, path)
    return report


@stating
def add_measurements(
    measurements: str | Path | Sequence[str | Path],
    target: str,
    name: str,
    *,
    out: str | Path | None = None,
    force: bool = False,
) -> "CalibrationReport":
    """Fit a target to tables of further measurements and all that `target` was fitted on, write it, return the fit.

    The new target goes to `out`, by default NAME.toml, and what it was fitted on beside it. Raises `InvalidInput` where
    `target` keeps no measurements, and as `calibrate`.
    """
    path = Path(out) if out is not None else Path(f"{name}.toml")
    if path.exists():
        raise InvalidInput(f"{path} exists; choose another name or file, or remove it")
    kept = calibration_kept.load_kept(target)[1]
    for table in [measurements] if isinstance(measurements, str | Path) else measurements:
        kept = kept.with_more(measured_latencies.read_measurements(Path(table)), str(table))
    report = calibration_fit.calibrate(kept.measured, name, like=kept.like, dtype=kept.dtype, with_peers=True)
    calibration_doubts.refuse_chance(report.doubt, path, force)
    calibration_kept.save_calibrated(report.target, kept, path)
    return report


# --------------------------------------------------------------------------------------------------------------- shared


def _search_jointly(
    out: Path, config: dict[str, Any], workers: int | None, address: str | None, reporter: ProgressReporter,
    accept_changes: bool,
) -> "Result":  # fmt: skip
    settings = SearchConfig(**config)
    trainers = run_workers.open_trainers(workers, address, settings)
    if _begun(out, "settings", asdict(settings)):
        return joint_search.resume(out, reporter, trainers=trainers, data=settings.data, accept_changes=accept_changes)
    return joint_search.search(settings, out, reporter, trainers=trainers)


def _search_targets(
    out: Path, config: dict[str, Any], targets: Sequence[str | None], latencies_ms: Sequence[float], algorithm: str,
    trials: int | None, evaluator: str, universal: bool, workers: int | None, address: str | None,
    reporter: ProgressReporter, front: "FrontConfig | None", accept_changes: bool,
) -> "MultiTargetResult":  # fmt: skip

    by = run_workers.open_executor(workers, address), run_workers.alone_on(workers, address)
    base = SearchConfig(**(config | {"target": None, "latency_ms": None}))
    count = multi_target_settings.default_trials(algorithm, base.preset, front) if trials is None else trials
    each = multi_target_settings.per_target(base, targets, latencies_ms)
    several = multi_target_settings.MultiTargetConfig(
        each, algorithm, count, universal=universal, evaluator=evaluator, front=front,
        cost_front=multi_target_settings.wants_cost_front(algorithm, base, universal=universal, front=front),
    )  # fmt: skip
    if _begun(out, "request", several.to_dict()):
        return multi_target.resume(
            out, reporter, workers=by[0], trainers=by[1], data=base.data, accept_changes=accept_changes
        )
    return multi_target.specialise(several, out, reporter, workers=by[0], trainers=by[1])


def _front_config(front: Front | Sequence[Front] | None, points: int) -> "FrontConfig | None":
    """Return the settings of a whole front, None where none is asked for."""
    if front is None or front is False:
        return None
    each: list[Any] = front if isinstance(front, list) else [front]
    try:
        ranges = tuple((None, None) if one is True else (one[0], one[1]) for one in each)
    except (TypeError, IndexError) as error:
        example = "(0.5, 4) or (0.5, None)"
        raise InvalidInput(f"front must be True or two latencies, such as {example}, got {front}") from error
    return front_configs.FrontConfig(ranges, points)


def _named_results(found: "MultiTargetResult") -> "dict[str, Result]":
    return found.results | ({UNIVERSAL: found.universal} if found.universal else {})


def _begun(run: Path, key: str, requested: dict[str, Any]) -> bool:
    """Return whether the folder holds a run of what is `requested`; `InvalidInput` where it is of something else."""
    path = run / "experiment.json"
    if not path.exists():
        return False
    stored = read_json(path)
    known = stored.get(key) if isinstance(stored, dict) else None
    asked = _without_later(json.loads(json.dumps(requested)), known)
    if known is None or not (known == asked or _moved(stored, known, asked)):
        raise InvalidInput(f"{run} holds a run with other settings; name another folder, or give the same settings")
    return True


def _moved(stored: dict[str, Any], known: Any, asked: Any) -> bool:
    """Return whether the settings differ in the paths to the images alone, and these are the same images."""
    if _without_paths(known) != _without_paths(asked):
        return False
    config = SearchConfig.from_dict(asked if "data" in asked else asked["settings"][0])
    return config.load_data().digest == stored.get("data", {}).get("digest")


def _without_paths(settings: Any) -> Any:
    """Return settings without where the images are."""
    if isinstance(settings, list):
        return list(map(_without_paths, settings))
    if not isinstance(settings, dict):
        return settings
    return {name: _without_paths(value) for name, value in settings.items() if name not in ("data", "data_dir")}


def _without_later(requested: Any, stored: Any) -> Any:
    """Return the settings `requested` without those that `stored`, of an older release, lacks and that are defaults."""
    if isinstance(requested, list) and isinstance(stored, list) and len(requested) == len(stored):
        return [_without_later(*pair) for pair in zip(requested, stored, strict=True)]
    if not (isinstance(requested, dict) and isinstance(stored, dict)):
        return requested
    defaults = json.loads(json.dumps(asdict(SearchConfig())))  # as files hold them: lists in place of tuples
    if "data_kind" not in stored and requested.get("resolution", 0) is None and stored.get("resolution") == IMAGENET_PX:
        requested = {**requested, "resolution": IMAGENET_PX}  # older releases wrote the default as a number
    return {
        name: _without_later(value, stored.get(name))
        for name, value in requested.items()
        if name in stored or name not in defaults or value != defaults[name]
    }


def _stored(resolution: SizeLike | None) -> int | str | None:
    """Return a resolution as settings have it."""
    return None if resolution is None else Size.of(resolution).json


def _training_config(epochs: int, batch_size: int, learning_rate: float | None, seed: int) -> Any:
    optimizer = optimizers.AdamW() if learning_rate is None else optimizers.AdamW(learning_rate=learning_rate)
    return training_loop.TrainingConfig(epochs, batch_size, optimizer, seed=seed)


def _label(network: Network) -> str:
    return network.name if isinstance(network, ArchSpec) else resolve(network).name
