"""Checkpoints of other arrays are refused and stay; those that are damaged are passed over."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from nas.errors import InvalidInput
from nas.training.checkpoints import Checkpoints

STATE = {"a": jnp.ones((3, 4)), "b": jnp.arange(5)}
OTHERS = {
    "array 00000 is float32 of 3x4 there and float32 of 3x5 here": {**STATE, "a": jnp.ones((3, 5))},
    "array 00001 is int32 of 5 there and float32 of 5 here": {**STATE, "b": jnp.arange(5.0)},
    "array 00001 is int32 of 5 there and missing here": {"a": STATE["a"]},
    "array 00002 is missing there and float32 of one here": {**STATE, "c": jnp.ones(())},
}


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the bytes of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of two steps."""
    path = tmp_path_factory.mktemp("checkpoints") / "coarse"
    checkpoints = Checkpoints(path)
    checkpoints.save(1, STATE)
    checkpoints.save(2, STATE)
    checkpoints.close()
    return path


@pytest.mark.parametrize("difference", OTHERS)
def test_checkpoints_of_other_arrays_are_refused_and_stay(difference: str, folder: Path) -> None:
    before = contents(folder)
    checkpoints = Checkpoints(folder)
    with pytest.raises(InvalidInput, match=f"coarse/2 is a checkpoint of another network or release: {difference}"):
        checkpoints.latest(OTHERS[difference])
    checkpoints.close()
    assert contents(folder) == before


def test_the_newest_is_restored(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    found: Any = checkpoints.latest(STATE)
    checkpoints.close()
    assert found[0] == 2 and all(np.array_equal(found[1][name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("link", ["checkpoints", "checkpoints/fine"])
def test_a_link_in_the_place_of_checkpoints_is_not_followed(link: str, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / link).parent.mkdir(parents=True)
    (run / link).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(InvalidInput, match=f"{link}: it is a symbolic link, which is not followed; remove it"):
        Checkpoints(run / "checkpoints" / "fine")
    assert list(elsewhere.iterdir()) == []
