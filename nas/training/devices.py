"""Placement of arrays on devices: compute dtype, copies with buffers of their own, batches sharded over devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def compute_dtype(precision: str = "auto") -> Any:
    """Return the dtype of activations: bfloat16 on a GPU or TPU, float32 on a CPU; parameters are always float32.

    A `precision` other than "auto" names the dtype.
    """
    if precision != "auto":
        return jnp.dtype(precision)
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def copy_arrays(tree: Any) -> Any:
    """Return a copy of every array with a buffer of its own, for programs that donate (and so invalidate) their inputs.

    Copies are made by way of the host, where nothing has to be compiled. They are strongly typed: a weakly typed scalar
    would cost the program that takes it a second compilation.
    """
    return jax.tree.map(lambda array: jax.device_put(np.array(array)), tree)


def device_sharding() -> NamedSharding | None:
    """Return a sharding of batches over all local devices, None where there is one device only."""
    devices = jax.devices()
    if len(devices) == 1:
        return None
    return NamedSharding(Mesh(np.array(devices), ("batch",)), PartitionSpec("batch"))


def batch_devices(batch_size: int) -> int:
    """Return over how many of the local devices a batch is split: all where they divide it, else one."""
    count = len(jax.devices())
    return count if batch_size % count == 0 else 1


def sharded(batch: Any, devices: int) -> Any:
    """Return arrays [B, ...] inside a compiled program, split along B over so many devices; as they are for one."""
    if devices == 1:
        return batch
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:devices]), ("batch",)), PartitionSpec("batch"))
    return jax.lax.with_sharding_constraint(batch, jax.tree.map(lambda _: sharding, batch))


def replicated(tree: Any, devices: NamedSharding | None) -> Any:
    """Return `tree` copied to each of the devices that batches are sharded over; as it is where `devices` is None."""
    return tree if devices is None else jax.device_put(tree, NamedSharding(devices.mesh, PartitionSpec()))
