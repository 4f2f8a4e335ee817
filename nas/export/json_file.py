"""Export as JSON: the architecture spec, without weights, that every other command reads, with metadata."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec, arch_json
from nas.data.input_spec import Signature
from nas.export.atomic_write import card_path, check_new_files
from nas.export.card import model_card
from nas.export.interface import Interface, check_signature, input_metadata
from nas.export.provenance import metadata, unsupported_lines
from nas.files import write_all

KEYS_OF_WEIGHTS = ("arch", "origin", "file")  # of a provenance, left out of a file without weights
INTERFACE = Interface("An architecture spec without weights", "nas-engine")
LOADING = """
from pathlib import Path
from nas.arch import load_arch
arch = load_arch(Path("{name}"))
"""


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None, signature: Signature | None = None,
) -> list[str]:  # fmt: skip
    """Write the spec to the new file `out`, its card beside it, and return lines to print. Weights are left out."""
    check_new_files(out)
    check_signature(signature, arch)
    known = {key: value for key, value in (provenance or {}).items() if key not in KEYS_OF_WEIGHTS}
    about_input = input_metadata(signature, INTERFACE)
    about_spec = {key: value for key, value in metadata(arch, known).items() if key != "spec.json"} | about_input
    text = model_card(
        out.name, arch, known,
        interface=INTERFACE, signature=signature, checks=[], loading=LOADING.format(name=out.name),
    )  # fmt: skip
    write_all({card_path(out): text, out: arch_json(arch, about_spec)})
    left_out = ["a spec holds no weights: they were left out"] if weights is not None else []
    return [
        f"wrote {out}: {arch.macs:,} MACs, {arch.params:,} parameters, digest {arch.digest[:12]}",
        f"wrote {card_path(out)}",
        *left_out,
        *unsupported_lines(arch),
    ]
