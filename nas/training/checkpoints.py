"""Checkpoints of a training state by orbax: written while the work goes on, the last three kept, each with a digest.

One that is torn, truncated or altered is passed over for the one before.
"""

import gc
import hashlib
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from numpy.typing import NDArray

from nas.files import CannotWrite

KEPT = 3
DIGEST = "sha256"  # of all arrays, beside them
DISK_FULL = ("no space left", "quota exceeded", "file too large", "os error 28", "os error 27", "os error 122")


class Checkpoints:
    """A folder of numbered states, each a tree of arrays."""

    def __init__(self, folder: Path) -> None:
        """Open or create `folder`; what a killed process had not finished writing is removed."""
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # what fails is raised
        self._folder, self._broken = folder.absolute(), set[int]()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, cleanup_tmp_directories=True)
        with self._writing():
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_handlers=ocp.StandardCheckpointHandler()
            )

    def save(self, step: int, state: Any) -> None:
        """Begin to write the state, once the one before is written; `CannotWrite` where that one could not be.

        The arrays are copied first, so the caller may donate or change them.
        """
        arrays = [np.array(leaf, copy=True) for leaf in jax.tree.leaves(state)]
        stored = _named(arrays) | {DIGEST: np.frombuffer(_digest(arrays), np.uint8)}
        with self._writing():
            self._manager.wait_until_finished()
            self._forget_broken()
            self._manager.save(step, args=ocp.args.StandardSave(stored))

    def latest(self, like: Any) -> tuple[int, Any] | None:
        """Return (step, state) of the newest intact checkpoint, structured as `like`; None where there is none.

        Its arrays are bound to no device, as fresh ones are: else a resumed run would compile other programs.
        """
        with self._writing():
            self._manager.wait_until_finished()
        leaves = jax.tree.leaves(like)
        abstract: dict[str, Any] = jax.tree.map(ocp.utils.to_shape_dtype_struct, _named(leaves))
        abstract[DIGEST] = jax.ShapeDtypeStruct((hashlib.sha256().digest_size,), np.uint8)
        for step in sorted(self._manager.all_steps(), reverse=True):
            arrays = self._arrays(step, abstract)
            if arrays is not None:
                return step, jax.tree.unflatten(jax.tree.structure(like), arrays)
            self._broken.add(step)
        return None

    def _arrays(self, step: int, abstract: dict[str, Any]) -> list[Any] | None:
        """Return the arrays of a checkpoint, None where it is damaged."""
        with _no_litter():
            try:
                restored = dict(self._manager.restore(step, args=ocp.args.StandardRestore(abstract)))
                digest = np.asarray(restored.pop(DIGEST)).tobytes()
                arrays = [np.asarray(restored[name]) for name in sorted(restored)]
                if digest == _digest(arrays):
                    return [jnp.array(array) for array in arrays]
            except Exception:  # whatever a torn file makes orbax raise: the one before is used
                pass
            gc.collect()
        return None

    def close(self) -> None:
        """Wait until all is written, and release the folder; `CannotWrite` where the last could not be written."""
        with self._writing():
            self._manager.close()

    def _forget_broken(self) -> None:
        """Remove what `latest` passed over: orbax saves no step below the newest that it finds."""
        for step in self._broken:
            shutil.rmtree(self._folder / str(step), ignore_errors=True)
        if self._broken:
            self._manager.reload()
            self._broken.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn a full disk, which orbax reports in many ways, into the one line about it."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError):
                raise CannotWrite(self._folder, error) from error
            if any(words in str(error).lower() for words in DISK_FULL):
                raise CannotWrite(self._folder, "no space left on the device") from error
            raise


@contextmanager
def _no_litter() -> Iterator[None]:
    """Keep quiet about the coroutines and event loops that orbax drops where it fails to read."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = hook


def _named(leaves: list[Any]) -> dict[str, Any]:
    """Return the leaves of a tree as a flat dictionary whose sorted names keep their order."""
    return {f"{i:05d}": leaf for i, leaf in enumerate(leaves)}


def _digest(arrays: list[NDArray[Any]]) -> bytes:
    """Return a digest of types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
