"""Files of tensors, safetensors with what they are in their header: checked by a digest, and for finite numbers.

The same tensors give the same bytes. Files of releases before the digest was written are read without that check.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from nas.errors import InvalidInput
from nas.files import parse_json, read_bytes, write_whole

METADATA_KEY = "nas.weights"  # one key only: safetensors does not fix the order of several
DIGEST = "digest"
LENGTH_BYTES = 8  # of the header, in front of it
Tensors = dict[str, np.ndarray[Any, np.dtype[Any]]]


def write_tensors(path: Path, tensors: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """Write named tensors with `about` and their digest; `InvalidInput` where the file cannot be written."""
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    stated = json.dumps({**about, DIGEST: digest_of(arrays)}, sort_keys=True)
    write_whole(path, safetensors.numpy.save(arrays, {METADATA_KEY: stated}))


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors in a file, all finite, and what was stated about them, nothing in a file without that.

    Raises `InvalidInput` where it is no such file, or was damaged or altered after it was written.
    """
    data = read_bytes(path)
    try:
        tensors: Tensors = safetensors.numpy.load(data)
        header = parse_json(data[LENGTH_BYTES:][: int.from_bytes(data[:LENGTH_BYTES], "little")], "its header")
        text = header.get("__metadata__", {}).get(METADATA_KEY, "{}")
        about = {str(key): str(value) for key, value in parse_json(text.encode(), "its metadata").items()}
    except (safetensors.SafetensorError, AttributeError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is no file of weights that this program wrote ({error}); write it again") from error
    if DIGEST in about and about.pop(DIGEST) != digest_of(tensors):
        raise InvalidInput(f"{path} was damaged after it was written: its weights have another digest; write it again")
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise InvalidInput(f"{path}: the weight '{name}' is not finite everywhere; train again")
    return tensors, about


def digest_of(tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return the SHA-256 of names, types, shapes and contents, whatever their order."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()
