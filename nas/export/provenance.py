"""Metadata of an exported file: spec, provenance of the weights, costs predicted and measured, versions."""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from latency_models.measurement_table import read_table
from latency_models.target import list_targets
from latency_models.unsupported import places_text, refusals_by_name
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Size
from nas.records.results import FILE_KEYS, accuracy_from, load_result
from nas.records.target_scores import TargetScores
from nas.records.trainings import read_training

DISTRIBUTION = "nas-engine"  # this package
BUDGET_KEY = FILE_KEYS["latency_budget"]  # in files of a run, and in the metadata of exported files


def metadata(arch: ArchSpec, provenance: Mapping[str, str], *distributions: str) -> dict[str, str]:
    """Return the metadata of a file: "spec.*", "provenance.*", "costs.*", "predicted_ms.TARGET" and "version.*"."""
    found = {"spec.digest": arch.digest, "spec.json": json.dumps(arch.to_dict(), sort_keys=True)}
    found |= {f"provenance.{key}": value for key, value in provenance.items() if key != "arch"}
    found |= {f"costs.{name}": str(value) for name, value in exact_costs(arch).items()}
    found |= {f"predicted_ms.{name}": value for name, value in predicted_ms(arch).items()}
    return found | {f"version.{name}": installed_version(name) for name in (*distributions, DISTRIBUTION)}


def exact_costs(arch: ArchSpec) -> dict[str, int]:
    """Return the costs of one image that do not depend on a device: MACs, parameters, peak activation elements."""
    return {"macs": arch.macs, "params": arch.params, "peak_activation_elements": arch.peak_activation_elements}


def predicted_ms(arch: ArchSpec) -> dict[str, str]:
    """Return the latency that each target's default model predicts, three digits, by name of the target."""
    return {target.name: f"{target.model().predict_ms(arch):.3g}" for target in list_targets()}


def unsupported_lines(arch: ArchSpec) -> list[str]:
    """Return a line for each op or activation of `arch` that some target does not run: where it is, and which do not.

    "mobile_mqa (op 3.1): falls back to the CPU on coral-edgetpu, refused by pixel4-dsp; nas targets T has the sources".
    """
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}  # falling back on, refused by: names of targets
    for target in list_targets():
        for one, positions in refusals_by_name(target, arch).items():
            on_cpu, refused = found.setdefault((one.name, places_text(positions)), ([], []))
            (on_cpu if one.falls_back else refused).append(target.name)
    return [
        f"{name} ({places}): " + ", ".join(_becomes(on_cpu, refused)) + "; nas targets T has the sources"
        for (name, places), (on_cpu, refused) in found.items()
    ]


def _becomes(on_cpu: list[str], refused: list[str]) -> Iterator[str]:
    """Yield what becomes of an op that some targets leave to the CPU and others refuse."""
    if on_cpu:
        yield f"falls back to the CPU on {', '.join(on_cpu)}"
    if refused:
        yield f"refused by {', '.join(refused)}"


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "from a source tree"


def folder_provenance(folder: Path) -> dict[str, str]:
    """Return the provenance that the folder of a training or of a search states; empty for any other folder.

    Keys: run, seed, and where stated data, data_digest, accuracy with accuracy_kind; a search's accuracy is not that of
    weights trained later: search_accuracy, search_accuracy_kind.
    """
    stored = next((folder / name for name in ("train.json", "best.json") if (folder / name).is_file()), None)
    if stored is None:
        return {}
    trained = stored.name == "train.json"
    data = read_training(folder) if trained else load_result(stored).to_dict()
    settings = (data.get("settings") if trained else data) or {}
    found = {"run": folder.resolve().name, "seed": str(settings.get("seed", "unknown"))}
    prefix = "" if trained else "search_"
    try:
        accuracy, kind = data["accuracy"], data["accuracy"]["kind"]
        score = accuracy_from(accuracy)
        found |= {
            "data": str(kind["data"]),
            "data_digest": str(kind["data_digest"]),
            f"{prefix}accuracy": f"{score.value:.4f} ± {score.standard_error:.4f}",
            f"{prefix}accuracy_kind": f"{score.kind.title} on {score.examples:,} pictures of {kind['data']} at "
            f"{Size.of(kind['resolution']).text}, {kind['how']}",  # release 0.1's wording, in exports
        }
        if scores := TargetScores.stated_by(data):
            found["test_scores"] = "\n".join(scores.lines())
        if not trained:
            found |= {"target": str(data["target"]), BUDGET_KEY: f"{data[BUDGET_KEY]:.4g}"}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{stored} states no accuracy ({error!r}); run the search or training again") from error
    return found


def measured_latency(path: Path, arch: ArchSpec) -> dict[str, str]:
    """Return the latency of `arch` in a table of nas measure, and how measured; `InvalidInput` if it has none."""
    for row in read_table(path, ("digest", "latency_ms"), ("latency_ms",)).rows:
        if row["digest"] == arch.digest:
            row.positive("latency_ms")
            how = {name: row.cells.get(name) for name in ("runtime", "threads", "batch", "machine")}
            setup = f"{how['runtime']}, {how['threads']} threads, batch {how['batch']}, {how['machine']}"
            return {"measured_ms": row["latency_ms"], "measured_on": setup}
    raise InvalidInput(f"{path} has no latency of this network ({arch.digest:.12}); measure it with: nas measure")
