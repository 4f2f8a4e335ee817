"""Checkpoints of a training state, by orbax: written in the background, the last three kept, each with a digest.

A checkpoint that is torn, truncated or altered does not match its digest, and the one before is used. That is safe
because a step is a function of the state and of (seed, step): repeated steps give the same bytes. One that is intact
but of other arrays, of another network say, is refused and stays where it is.
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

from nas.errors import InvalidInput
from nas.files import LINK, CannotWrite

KEPT = 3  # newest checkpoints
PARENT = "checkpoints"  # the folder in a run that holds those of its stages
DIGEST = "sha256"  # name of the array that holds the digest of all others
DISK_FULL = ("no space left", "quota exceeded", "file too large", "os error 28", "os error 27", "os error 122")


class Checkpoints:
    """A folder of checkpoints, numbered by step; each holds a tree of arrays."""

    def __init__(self, folder: Path) -> None:
        """Open or create `folder`; what a killed process had not finished writing is removed.

        `CannotWrite` where it is a symbolic link, or lies in a folder "checkpoints" that is one.
        """
        for place in (folder, folder.parent):
            if place.is_symlink() and (place == folder or place.name == PARENT):
                raise CannotWrite(place, LINK)
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs there; what fails is raised as well
        self._folder = folder.absolute()
        self._broken = set[int]()  # steps whose checkpoints `latest` found to be damaged
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, cleanup_tmp_directories=True)
        with self._disk_errors():
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_handlers=ocp.StandardCheckpointHandler()
            )

    def save(self, step: int, state: Any) -> None:
        """Begin to write the state, and return before it is written; the arrays may be donated or changed at once.

        Waits for the checkpoint before to be written; `CannotWrite` where that one could not be.
        """
        # Orbax writes in threads of its own. It must not read buffers that the next training step has been given.
        arrays = [np.array(leaf, copy=True) for leaf in jax.tree.leaves(state)]
        stored = _named(arrays) | {DIGEST: np.frombuffer(_digest(arrays), np.uint8)}
        with self._disk_errors():
            self._manager.wait_until_finished()
            self._remove_broken()
            self._manager.save(step, args=ocp.args.StandardSave(stored))

    def latest(self, like: Any) -> tuple[int, Any] | None:
        """Return (step, state) of the newest intact checkpoint, structured as `like`; None where there is none.

        `InvalidInput` where one is intact and holds arrays of other shapes or types than `like`.
        """
        with self._disk_errors():
            self._manager.wait_until_finished()
        # Leaves are stored by number, not by path: the types of states may be renamed. Their order must stay.
        leaves = jax.tree.leaves(like)
        abstract: dict[str, Any] = jax.tree.map(ocp.utils.to_shape_dtype_struct, _named(leaves))
        abstract[DIGEST] = jax.ShapeDtypeStruct((hashlib.sha256().digest_size,), np.uint8)
        for step in sorted(self._manager.all_steps(), reverse=True):
            arrays = self._arrays(step, abstract)
            if arrays is not None:
                return step, jax.tree.unflatten(jax.tree.structure(like), arrays)
            self._refuse_other_arrays(step, abstract)
            self._broken.add(step)
        return None

    def _refuse_other_arrays(self, step: int, abstract: dict[str, Any]) -> None:
        """Raise `InvalidInput` where a checkpoint that could not be read as `abstract` is intact as it says itself."""
        own = self._stored_arrays(step)
        if own is None or _kinds(own) == _kinds(abstract) or self._arrays(step, own) is None:
            return
        there, here = _kinds(own), _kinds(abstract)
        name = next(name for name in sorted({*there, *here}) if there.get(name) != here.get(name))
        raise InvalidInput(
            f"{self._folder / str(step)} is a checkpoint of another network or release: array {name} is "
            f"{there.get(name, 'missing')} there and {here.get(name, 'missing')} here; it is left as it is: go on with "
            "the settings and the release that wrote it, or start a new run"
        )

    def _stored_arrays(self, step: int) -> dict[str, Any] | None:
        """Return shape and type of each array of a checkpoint as it says itself, None where that is damaged too."""
        with _silenced_orbax():
            try:
                found = dict(self._manager.item_metadata(step))
                return {name: jax.ShapeDtypeStruct(each.shape, each.dtype) for name, each in found.items()}
            except Exception:  # a torn file can make orbax raise anything
                pass
            gc.collect()  # as in `_arrays`
        return None

    def _arrays(self, step: int, abstract: dict[str, Any]) -> list[Any] | None:
        """Return the arrays of a checkpoint, None where it is damaged."""
        with _silenced_orbax():
            try:
                restored = dict(self._manager.restore(step, args=ocp.args.StandardRestore(abstract)))
                digest = np.asarray(restored.pop(DIGEST)).tobytes()
                arrays = [np.asarray(restored[name]) for name in sorted(restored)]
                if digest == _digest(arrays):
                    # New arrays on the default device, as a fresh state has. Those that orbax restores are committed
                    # to a device, and a resumed run would compile other programs for them.
                    return [jnp.array(array) for array in arrays]
            except Exception:  # a torn file can make orbax raise anything; the checkpoint before is used
                pass
            gc.collect()  # let what orbax dropped complain here, where it is silenced
        return None

    def close(self) -> None:
        """Wait until all is written, and release the folder; `CannotWrite` where the last state could not be."""
        with self._disk_errors():
            self._manager.close()

    def _remove_broken(self) -> None:
        """Remove the checkpoints that `latest` found damaged: orbax saves no step below the newest that it finds."""
        for step in self._broken:
            shutil.rmtree(self._folder / str(step), ignore_errors=True)
        if self._broken:
            self._manager.reload()
            self._broken.clear()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Raise `CannotWrite` where the disk is full, which orbax reports by many types of errors."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError):
                raise CannotWrite(self._folder, error) from error
            if any(phrase in str(error).lower() for phrase in DISK_FULL):
                raise CannotWrite(self._folder, "no space left on the device") from error
            raise


@contextmanager
def _silenced_orbax() -> Iterator[None]:
    """Silence the warnings about coroutines and event loops that orbax leaves behind where it fails to read."""
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


def _kinds(arrays: dict[str, Any]) -> dict[str, str]:
    """Return type and shape of each array in words: "float32 of 3x4"."""
    return {name: f"{each.dtype} of {'x'.join(map(str, each.shape)) or 'one'}" for name, each in arrays.items()}


def _digest(arrays: list[NDArray[Any]]) -> bytes:
    """Return the SHA-256 of the arrays' types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
