"""Export as one ONNX file, float32, NCHW, checked in ONNX Runtime against the network: https://onnx.ai.

The file names its spec, the origin of its weights and the versions that wrote it in its metadata.
"""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.packages import INSTALL, installed, need
from nas.export.weights import about, declared, difference, fixed_pictures, logits
from nas.files import write_whole

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4  # largest max|y - y*|, and the same / max|y*|, between the written model and the network
SCALED_LOGITS = 10.0  # up to here logits are those of a network in use, and the absolute difference counts too


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None, provenance: Mapping[str, str] | None = None
) -> list[str]:
    """Write the new file `out` and return what to say; weights and provenance as in `nas.export.flax_file`.

    ONNX Runtime, where it is installed, loads the model and must give this package's logits for two pictures; else a
    line says that it was not verified. `InvalidInput` where onnx is not installed, weights do not fit, `out` exists or
    logits differ; then nothing is written.
    """
    need("onnx")
    if out.exists():
        raise InvalidInput(f"{out} exists; name another file with --out, or remove it")
    if not out.parent.is_dir():
        raise InvalidInput(f"cannot write {out}: there is no folder {out.parent}")
    weights, said = declared(arch, weights, provenance)
    content = model_bytes(arch, weights, said)
    checked = _checked(arch, weights, content)
    write_whole(out, content)
    return [
        f"wrote {out}: {len(content):,} bytes, {arch.params:,} parameters, pictures [N, C, H, W] -> logits, float32",
        *about(said),
        checked,
    ]


def model_bytes(arch: ArchSpec, weights: Mapping[str, Any], provenance: Mapping[str, str]) -> bytes:
    """Return the content of the file; the same weights and provenance give the same bytes."""
    import onnx

    from nas.export.onnx_ops import lower

    model = lower(arch, lambda name, shape: np.asarray(weights[name]))
    described = {f"provenance.{key}": value for key, value in provenance.items() if key != "arch"}
    about_spec = {"spec.digest": arch.digest, "spec.json": json.dumps(arch.to_dict(), sort_keys=True)}
    versions = {"onnx": onnx.__version__, "nas-engine": _own_version()}
    add_metadata(model, about_spec | described | {f"version.{key}": value for key, value in versions.items()})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def add_metadata(model: "onnx.ModelProto", properties: Mapping[str, str]) -> None:
    """Put `properties` into the model, in the order of their names."""
    for key, value in sorted(properties.items()):
        model.metadata_props.add(key=key, value=value)


def run_model(content: bytes, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that ONNX Runtime computes for pictures [N, H, W, C]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))})
    return found


def _checked(arch: ArchSpec, weights: Mapping[str, Any], content: bytes) -> str:
    """Return the line about the check; `InvalidInput` where the logits differ."""
    if not installed("onnxruntime"):
        return f"not verified: onnxruntime is not installed; {INSTALL}"
    pictures = fixed_pictures(arch)
    wanted = logits(arch, weights, pictures)
    absolute, relative = difference(run_model(content, pictures), wanted)
    in_use = np.abs(wanted).max() <= SCALED_LOGITS
    if not (relative <= TOLERANCE and (absolute <= TOLERANCE or not in_use)):
        raise InvalidInput(
            f"the exported model differs by {absolute:.1e} ({relative:.1e} relative) from the network; "
            "nothing was written"
        )
    return f"checked in ONNX Runtime: largest difference of the logits {absolute:.1e}, relative {relative:.1e}"


def _own_version() -> str:
    try:
        return version("nas-engine")
    except PackageNotFoundError:
        return "from a source tree"
