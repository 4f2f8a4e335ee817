"""An exporter: the network as a table of its kernels in a CSV file."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.files import write_whole


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None, signature: Signature | None = None,
) -> list[str]:  # fmt: skip
    """Write a row per kernel into the new file `out`, and return lines to print. Weights are not needed."""
    if out.exists():
        raise InvalidInput(f"{out} exists; name another file, or remove it")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "kind", "kernel_size", "stride", "macs", "params"])
    rows.writerows([k.name, k.kind, k.kernel_size, k.stride, k.macs, k.params] for k in arch.kernels)
    write_whole(out, text.getvalue())  # whole or not at all
    return [f"wrote {out}: {len(arch.kernels)} kernels, {arch.macs:,} MACs"]
