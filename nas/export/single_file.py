"""Export as one float32 file for a runtime, which loads it and must give the logits of the network (ONNX, TFLite)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.export.atomic_write import card_path, check_new_files
from nas.export.card import model_card
from nas.export.interface import Interface, check_signature, companions, files_beside, input_metadata
from nas.export.options import DEFAULT, FileOptions
from nas.export.packages import INSTALL, installed, need
from nas.export.predict.script import predict_script
from nas.export.provenance import metadata, unsupported_lines
from nas.export.weights import check_images, checked_weights, difference, logits, weights_messages
from nas.files import dump_json, write_all
from nas.ops.graph import Tensors

TOLERANCE = 1e-4  # largest max|y - y*|, and the same / max|y*|, between the written model and the network
SCALED_LOGITS = 10.0  # up to here logits are those of a network in use, and the absolute difference counts too


@dataclass(frozen=True)
class SingleFile:
    """A file format: the package that writes it, the one that runs it, and functions for both."""

    form: str  # name of the format
    writer: str
    runtime: str
    runtime_name: str
    interface: Interface
    content: Callable[
        [ArchSpec, Tensors, Mapping[str, str], FileOptions], bytes
    ]  # spec, weights, metadata, options -> file
    run: Callable[[bytes, NDArray[Any]], NDArray[np.float32]]  # images [N, H, W, C] -> logits [N, classes]
    loading: str  # Python that loads the file {name} and runs it
    metadata_beside: bool = False  # in NAME.json, where the format has no place for them

    def export(
        self, arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None,
        provenance: Mapping[str, str] | None = None, signature: Signature | None = None,
        options: FileOptions = DEFAULT,
    ) -> list[str]:  # fmt: skip
        """Write the new file `out` and return lines to print; weights and provenance as in nas.export.flax.folder.

        With a `signature`, labels.txt and preprocessor_config.json go beside it, and the metadata say the same.
        The runtime, where it is installed, loads the model and must give this package's logits for two images; else a
        line says that it was not verified. The same weights and provenance give the same bytes. `InvalidInput` where
        the writer is not installed, weights do not fit, `out` exists or logits differ; then nothing is written.
        """
        need(self.writer)
        check_signature(signature, arch)
        interface = self.interface_with(options)
        script = partial(predict_script, self.form, out.name, self.runtime)
        beside = files_beside(out, companions(signature, interface, script))
        separate = [out.with_name(f"{out.name}.json")] if self.metadata_beside else []
        check_new_files(out, *beside, *separate)
        weights, known = checked_weights(arch, weights, provenance)
        content = self.bytes_of(arch, weights, known, signature, options)
        check = self._check(arch, weights, content, options)
        text = model_card(
            out.name, arch, known, interface=interface, signature=signature, checks=[check],
            loading=self.loading.format(name=out.name, images=interface.images),
        )  # fmt: skip
        beside |= dict.fromkeys(separate, dump_json(self.metadata_of(arch, known, signature, options)))
        write_all({**beside, card_path(out): text, out: content})
        return [
            f"wrote {out}: {len(content):,} bytes, {arch.params:,} parameters, {interface.text}",
            *(f"wrote {path}" for path in (*beside, card_path(out))),
            *weights_messages(known),
            *unsupported_lines(arch),
            check,
        ]

    def bytes_of(
        self, arch: ArchSpec, weights: Mapping[str, Any], provenance: Mapping[str, str],
        signature: Signature | None = None, options: FileOptions = DEFAULT,
    ) -> bytes:  # fmt: skip
        """Return the content of the file, with spec, provenance and versions as its metadata."""
        described = self.metadata_of(arch, provenance, signature, options)
        return self.content(arch, lambda name, _: np.asarray(weights[name]), described, options)

    def interface_with(self, options: FileOptions) -> Interface:
        """Return the interface of a file with these options."""
        return self.interface.of_pixels() if options.uint8_input else self.interface

    def metadata_of(
        self, arch: ArchSpec, provenance: Mapping[str, str], signature: Signature | None = None,
        options: FileOptions = DEFAULT,
    ) -> dict[str, str]:  # fmt: skip
        """Return the metadata of the file."""
        described = metadata(arch, provenance, self.writer.replace("_", "-"))
        return described | input_metadata(signature, self.interface_with(options))

    def _check(self, arch: ArchSpec, weights: Mapping[str, Any], content: bytes, options: FileOptions) -> str:
        """Return a line with the result of the check; `InvalidInput` where the logits differ."""
        if not installed(self.runtime):
            return f"not verified: {self.runtime} is not installed; {INSTALL}"
        images, normalised = check_images(arch, options.uint8_input)
        expected = logits(arch, weights, normalised)
        absolute, relative = difference(self.run(content, images), expected)
        in_use = np.abs(expected).max() <= SCALED_LOGITS
        if not (relative <= TOLERANCE and (absolute <= TOLERANCE or not in_use)):
            raise InvalidInput(
                f"the exported model differs by {absolute:.1e} ({relative:.1e} relative) from the network; "
                "nothing was written"
            )
        return (
            f"checked in {self.runtime_name}: largest difference of the logits {absolute:.1e}, relative {relative:.1e}"
        )
