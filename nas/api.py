"""The engine in a few lines of Python: search, compare, export, predict. Tables are pandas data frames.

    from nas import api

    found = api.search("runs/mine", target="edgetpu", data="digits")
    print(found.latency, found.accuracy, found.arch.stages)
    each = api.specialise("runs/three", ["edgetpu", "pixel6-cpu", "rpi5"])  # one supernet, a network for each
    print(api.predict(["runs/mine", "mobilenetv4-conv-s"], ["edgetpu", "rpi5"]))
    api.compare(["runs/mine", "mobilenetv2"], ["edgetpu", "rpi5"], out="compared").regrets
    api.export("runs/mine", "found.json")

Wherever a network is asked for, an `ArchSpec` will do, a reference's name (nas zoo), a spec file, or the folder of a
run or training. Nothing heavy is imported before it is needed. Bad input raises `InvalidInput` or `UnknownName`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.arch import ArchSpec
from nas.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from nas.compare.compare import Comparison
    from nas.progress import ProgressReporter
    from nas.records.results import Result
    from nas.runs.settings import SearchConfig

Network = ArchSpec | str | Path

__all__ = ["Network", "compare", "export", "predict", "search", "spec", "specialise"]


def search(out: str | Path, *, reporter: "ProgressReporter | None" = None, **settings: Any) -> "Result":
    """Search into the new folder `out` and return the network found; where `out` holds a run, go on with it.

    `settings` are those of `nas.runs.settings.SearchConfig`, as the flags of `nas search`: space, target, latency_ms, max_params,
    data, preset, seed and so on. An interrupted search goes on where it was only with equal settings.
    """
    from dataclasses import asdict

    from nas.runs import joint_search

    config, folder = _settings(settings), Path(out)
    if _begun(folder, "settings", asdict(config)):
        return joint_search.resume(folder, reporter)
    return joint_search.search(config, folder, reporter)


def specialise(
    out: str | Path,
    targets: Sequence[str],
    *,
    algorithm: str = "nsga2",
    trials: int | None = None,
    universal: bool = False,
    latencies_ms: Sequence[float] = (),
    reporter: "ProgressReporter | None" = None,
    **settings: Any,
) -> "dict[str, Result]":
    """Train one supernet, search it for each of `targets`, and return the network found for each; else as `search`.

    `trials` are per target and stage, by default those of the preset; `latencies_ms` one per target, by default that of
    a reference network. `universal` adds one network for all targets, under that name.
    """
    from nas.runs import multi_target as several
    from nas.runs.multi_target_settings import UNIVERSAL, MultiTargetConfig, default_trials, per_target

    if wrong := {"target", "latency_ms"} & set(settings):
        raise InvalidInput(f"'{min(wrong)}' is for one target; give targets and latencies_ms")
    base, folder = _settings(settings), Path(out)
    count = default_trials(algorithm, base.preset) if trials is None else trials
    config = MultiTargetConfig(per_target(base, targets, latencies_ms), algorithm, count, universal=universal)
    if _begun(folder, "request", config.to_dict()):
        found = several.resume(folder, reporter)
    else:
        found = several.specialise(config, folder, reporter)
    return found.results | ({UNIVERSAL: found.universal} if found.universal else {})


def _settings(given: dict[str, Any]) -> "SearchConfig":
    """Return the settings with these fields; `UnknownName` where one is none."""
    from dataclasses import fields

    from nas.errors import unknown_name
    from nas.runs.settings import SearchConfig

    known = [field.name for field in fields(SearchConfig)]
    if wrong := sorted(set(given) - set(known)):
        raise unknown_name("setting", wrong[0], known)
    return SearchConfig(**given)


def _begun(run: Path, key: str, asked: dict[str, Any]) -> bool:
    """Return whether the folder holds a run of what is `asked`; `InvalidInput` where it is of something else."""
    import json

    from nas.files import read_json

    path = run / "experiment.json"
    if not path.exists():
        return False
    stored = read_json(path)
    if not isinstance(stored, dict) or stored.get(key) != json.loads(json.dumps(asked)):
        raise InvalidInput(f"{run} holds a run with other settings; name another folder, or give the same settings")
    return True


def compare(
    items: Sequence[str | Path],
    targets: Sequence[str] = ("all",),
    *,
    latency_model: str = "default",
    energy: bool = False,
    out: str | Path | None = None,
) -> "Comparison":
    """Return networks side by side on devices; its tables are `rows`, `optimal`, `hypervolumes` and `regrets`.

    See `nas.compare.compare.compare` for what may be an item. With `out`, the page, the tables and plots go into that new
    folder.
    """
    from nas.compare import compare as comparing
    from nas.compare.files import write
    from nas.files import new_folder

    comparison = comparing.compare(items, targets, latency_model, energy=energy)
    if out is not None:
        write(comparison, new_folder(Path(out)))
    return comparison


def predict(
    networks: Network | Sequence[Network],
    targets: str | Sequence[str] = ("all",),
    *,
    latency_model: str = "default",
    kernels: bool = False,
) -> "pd.DataFrame":
    """Return what networks cost on devices: a row per network and target, or with `kernels` per kernel.

    Columns: network, target, latency_ms (of a batch, predicted), macs, params, weight_bytes, peak_activation_bytes,
    caution ("" where the prediction is as good as others). Per kernel: network, target, and the fields of
    `nas.report.describe.KernelRow`, with latency in ms.
    """
    import pandas as pd

    from latency_models.target import load_target, target_names
    from nas.report.describe import describe

    named = [networks] if isinstance(networks, ArchSpec | str | Path) else list(networks)
    config = [targets] if isinstance(targets, str) else list(targets)
    models = {
        name: load_target(name).model(latency_model) for name in (target_names() if config == ["all"] else config)
    }
    rows: list[dict[str, Any]] = []
    for network in named:
        arch, label = spec(network), _label(network)
        for target, model in models.items():
            said = describe(arch, model)
            own = {"network": label, "target": target}
            if kernels:
                rows += [own | row.to_json("latency_ms") for row in said.kernels]
                continue
            rows.append(
                own
                | {
                    "latency_ms": said.latency,
                    "macs": said.macs,
                    "params": said.params,
                    "weight_bytes": said.weight_bytes,
                    "peak_activation_bytes": said.peak_activation_bytes,
                    "caution": said.caution or "",
                }
            )
    return pd.DataFrame(rows)


def export(
    network: Network,
    out: str | Path,
    *,
    form: str | None = None,
    weights: str | Path | None = None,
    **options: Any,
) -> list[str]:
    """Write a network for use elsewhere into the new file or folder `out`, and return what is to be said of it.

    `form` is a format of `nas export`, by default that of the ending of `out`, "flax" for a folder. `weights` is the
    folder of a training or a file of weights; that of a training is used where `network` is one. Else the weights are
    random ones, and the file says so. `options` go to the exporter of the format; with `calibration`, what
    `nas.export.calibration.load_calibration` returns, the file is int8.
    """
    from nas.export.provenance import of_folder
    from nas.registry import ENDINGS, EXPORTERS, INT8_EXPORTERS, load

    arch, path = spec(network), Path(out)
    name = form or next((form for form, ending in ENDINGS.items() if ending == path.suffix), "flax")
    write = load("format", INT8_EXPORTERS if "calibration" in options else EXPORTERS, name)
    source = Path(weights) if weights is not None else _training(network)
    if weights is not None and name == "json":
        raise InvalidInput("a spec holds no weights; leave weights out, or choose another format")
    loaded, provenance = None, {} if isinstance(network, ArchSpec) else of_folder(Path(network))
    if source is not None and name != "json":
        from nas.export.weights import given_weights

        loaded, said = given_weights(source, arch)
        provenance |= said
    return list(write(arch, path, weights=loaded, provenance=provenance, **options))


def spec(network: Network) -> ArchSpec:
    """Return the architecture that `network` names."""
    from nas.records.networks import load_item

    return network if isinstance(network, ArchSpec) else load_item(network)[0].arch


def _label(network: Network) -> str:
    from nas.records.networks import load_item

    return network.name if isinstance(network, ArchSpec) else load_item(network)[0].name


def _training(network: Network) -> Path | None:
    """Return the folder where `network` is that of a training."""
    return Path(network) if not isinstance(network, ArchSpec) and (Path(network) / "train.json").exists() else None
