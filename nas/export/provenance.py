"""What an exported file says of itself: spec, where its weights come from, costs predicted and measured, versions."""

import csv
import io
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latency_models.target import list_targets
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import read_bytes, read_json

OWN = "nas-engine"


def metadata(arch: ArchSpec, said: Mapping[str, str], *distributions: str) -> dict[str, str]:
    """Return the metadata of a file: "spec.*", "provenance.*", "costs.*", "predicted_ms.TARGET" and "version.*"."""
    found = {"spec.digest": arch.digest, "spec.json": json.dumps(arch.to_dict(), sort_keys=True)}
    found |= {f"provenance.{key}": value for key, value in said.items() if key != "arch"}
    found |= {f"costs.{name}": str(value) for name, value in counted(arch).items()}
    found |= {f"predicted_ms.{name}": value for name, value in predicted_ms(arch).items()}
    return found | {f"version.{name}": installed_version(name) for name in (*distributions, OWN)}


def counted(arch: ArchSpec) -> dict[str, int]:
    """Return the exact costs of one image."""
    return {"macs": arch.macs, "params": arch.params, "peak_activation_elements": arch.peak_activation_elements}


def predicted_ms(arch: ArchSpec) -> dict[str, str]:
    """Return the latency that each target's default model predicts, three digits, by name."""
    return {target.name: f"{target.model().predict_ms(arch):.3g}" for target in list_targets()}


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "from a source tree"


def of_folder(folder: Path) -> dict[str, str]:
    """Return what the folder of a training or of a run says of its weights; nothing where it is neither.

    Keys: run, seed, and where stated data, data_digest, accuracy with accuracy_kind; a run's accuracy is that of its
    search, not of weights trained later: search_accuracy, search_accuracy_kind.
    """
    stored = next((folder / name for name in ("train.json", "best.json") if (folder / name).is_file()), None)
    if stored is None:
        return {}
    data = read_json(stored)
    trained = stored.name == "train.json"
    settings = (data.get("settings") if trained else data) or {}
    found = {"run": folder.resolve().name, "seed": str(settings.get("seed", "unknown"))}
    prefix = "" if trained else "search_"
    try:
        accuracy, kind = data["accuracy"], data["accuracy"]["kind"]
        found |= {
            "data": str(kind["data"]),
            "data_digest": str(kind["data_digest"]),
            f"{prefix}accuracy": f"{accuracy['top1']:.4f} ± {accuracy['standard_error']:.4f}",
            f"{prefix}accuracy_kind": f"top-1 on {accuracy['pictures']:,} images of {kind['data']} at "
            f"{kind['resolution']} px, {kind['how']}",
        }
        if not trained:
            found |= {"target": str(data["target"]), "wanted_latency": f"{data['wanted_latency']:.4g}"}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{stored} states no accuracy ({error!r}); run the search or training again") from error
    return found


def measured(path: Path, arch: ArchSpec) -> dict[str, str]:
    """Return the latency of `arch` in a CSV of nas measure; `InvalidInput` where it has none."""
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(read_bytes(path).decode(errors="replace"))))
    for row in rows:
        if row.get("digest") == arch.digest:
            words = (
                f"{row.get('runtime')}, {row.get('threads')} threads, batch {row.get('batch')}, {row.get('machine')}"
            )
            return {"measured_ms": str(row.get("latency_ms")), "measured_on": words}
    raise InvalidInput(f"{path} has no latency of this network ({arch.digest:.12}); measure it with: nas measure")
