"""Checkpoints of a training state by orbax: the last two are kept, a broken one is passed over for the one before."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

KEPT = 2


class Checkpoints:
    """A folder of numbered states, each a tree of arrays."""

    def __init__(self, folder: Path) -> None:
        """Open or create `folder`."""
        logging.getLogger("absl").setLevel(logging.ERROR)
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Any) -> None:
        """Write the state; it is complete on the disk when this returns."""
        self._manager.save(step, args=ocp.args.StandardSave(_as_dict(state)))
        self._manager.wait_until_finished()

    def latest(self, like: Any) -> tuple[int, Any] | None:
        """Return (step, state) of the newest readable checkpoint, structured as `like`; None where there is none."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _as_dict(like))
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
            except Exception:  # whatever a torn file makes orbax raise: the one before is used
                continue
            return step, jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(restored))
        return None

    def close(self) -> None:
        """Release the folder."""
        self._manager.close()


def _as_dict(state: Any) -> dict[str, Any]:
    """Return the leaves of any tree as a flat dictionary that keeps their order."""
    return {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
