"""Export as JSON: the architecture alone, as every other command of this program reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec, save_arch
from nas.errors import InvalidInput


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None, provenance: Mapping[str, str] | None = None
) -> list[str]:
    """Write the spec to the new file `out` and return what to say. Weights and provenance have no place in a spec."""
    if out.exists():
        raise InvalidInput(f"{out} exists; name another file with --out, or remove it")
    save_arch(arch, out)
    left_out = ["a spec holds no weights: they were left out"] if weights is not None else []
    return [f"wrote {out}: {arch.macs:,} MACs, {arch.params:,} parameters, digest {arch.digest[:12]}", *left_out]
