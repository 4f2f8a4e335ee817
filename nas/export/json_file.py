"""Export as JSON: the architecture alone, as every other command of this program reads it, and what is known of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec, arch_json
from nas.export.atomic_write import card_of, check_free, deliver
from nas.export.card import card
from nas.export.provenance import metadata

ABOUT_WEIGHTS = ("arch", "origin", "file")  # has no place in a file without weights
LOADING = """
from pathlib import Path
from nas.arch import load_arch
arch = load_arch(Path("{name}"))
"""


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None, provenance: Mapping[str, str] | None = None
) -> list[str]:
    """Write the spec to the new file `out`, its card beside it, and return what to say. Weights have no place in it."""
    check_free(out)
    said = {key: value for key, value in (provenance or {}).items() if key not in ABOUT_WEIGHTS}
    said_of = {key: value for key, value in metadata(arch, said).items() if key != "spec.json"}
    signature = "An architecture spec without weights"
    text = card(out.name, arch, said, signature=signature, checked=[], loading=LOADING.format(name=out.name))
    deliver({card_of(out): text, out: arch_json(arch, said_of)})
    left_out = ["a spec holds no weights: they were left out"] if weights is not None else []
    return [
        f"wrote {out}: {arch.macs:,} MACs, {arch.params:,} parameters, digest {arch.digest[:12]}",
        f"wrote {card_of(out)}",
        *left_out,
    ]
