"""A supernet that starts from outside weights: what is taken, and that a member computes what the network computes."""

import jax
import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.network import CLASSIFIER, get_weights, random_network, split_statistics
from nas.ops import Conv, Head, Shape
from nas.space.cost_table import MACS, compile_table
from nas.supernet.inherit import network_weights
from nas.supernet.outside import block_places, started_from
from nas.supernet.supernet import Supernet, parameters
from nas.zoo import reference
from tests.support.tiny import SPACE

WHOLE = SPACE.with_input((32, 32), 3, 4, False)


def largest() -> tuple[int, ...]:
    return tuple(int(option) for option in WHOLE.canonical(np.array([compile_table(WHOLE, MACS).maximum()[1]]))[0])


def weights_of(arch: ArchSpec, seed: int = 5) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in get_weights(random_network(arch, seed)).items()}


@pytest.fixture(scope="module")
def fresh() -> dict[str, jax.Array]:
    return parameters(Supernet(WHOLE, np.random.default_rng(0)))


def test_the_largest_network_of_the_space_is_taken_whole(fresh: dict[str, jax.Array]) -> None:
    arch = WHOLE.decode(largest())
    weights = weights_of(arch)
    start = started_from(fresh, WHOLE, arch, weights)
    assert start.unused == ()
    inside = network_weights(start.params, WHOLE, largest())
    for name, value in split_statistics(weights)[0].items():
        assert np.array_equal(inside[name], value) != (name in CLASSIFIER and name.endswith("weight")), name
    assert {name: value.shape for name, value in start.params.items()} == {n: v.shape for n, v in fresh.items()}
    assert "the others begin at random" in start.lines("x")[0]


def test_narrower_layers_take_leading_channels_and_what_is_beyond_stays_random(fresh: dict[str, jax.Array]) -> None:
    stem = 4
    arch = ArchSpec(Shape(32, 32, 3), ((Conv(stem, 3, 2),),), Head(), 9)
    weights = weights_of(arch)
    start = started_from(fresh, WHOLE, arch, weights)
    assert set(start.taken) == {"0.0.conv.weight", "0.0.conv.scale", "0.0.conv.bias"}
    np.testing.assert_array_equal(start.params["stem.weight"][..., :stem], weights["0.0.conv.weight"])
    np.testing.assert_array_equal(start.params["stem.weight"][..., stem:], fresh["stem.weight"][..., stem:])
    others = [name for name in fresh if not name.startswith("stem.")]
    assert others and all(np.array_equal(start.params[name], fresh[name]) for name in others)


def test_windows_of_other_sizes_are_not_taken(fresh: dict[str, jax.Array]) -> None:
    arch = ArchSpec(Shape(32, 32, 3), ((Conv(8, 5, 2),),), Head(), 9)
    weights = {"0.0.conv.weight": weights_of(arch)["0.0.conv.weight"]}
    with pytest.raises(InvalidInput, match="has the place and the windows of one of that network"):
        started_from(fresh, WHOLE, arch, weights)


def test_blocks_meet_by_the_strides_behind_them(fresh: dict[str, jax.Array]) -> None:
    own, arch = block_places(WHOLE.decode(largest())), reference("mobilenetv4-conv-s")
    assert block_places(arch)["3.1"] == (1, "uib", 1) and block_places(arch)["4.0"] == (0, "uib", 0)
    first = next(position for position, place in own.items() if place == (0, "uib", 0))
    weights = weights_of(arch)
    start = started_from(fresh, WHOLE, arch, weights)
    inside = network_weights(start.params, WHOLE, largest())[f"{first}.expand.weight"]
    np.testing.assert_array_equal(inside, weights["4.0.expand.weight"][tuple(map(slice, inside.shape))])
