"""Placement of arrays on devices: compute dtype, copies with buffers of their own, batches sharded over devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def compute_dtype() -> Any:
    """Return the dtype of activations: bfloat16 on a GPU or TPU, float32 on a CPU; parameters are always float32."""
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


def replicated(tree: Any, devices: NamedSharding | None) -> Any:
    """Return `tree` copied to each of the devices that batches are sharded over; as it is where `devices` is None."""
    return tree if devices is None else jax.device_put(tree, NamedSharding(devices.mesh, PartitionSpec()))
