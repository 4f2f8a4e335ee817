"""A network at another resolution is that network: strides stay, more pixels never cost less; proxies drop some."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.target import load_target
from nas.cli import main
from nas.registry import SPACES, load
from nas.runs.plan import reference_network
from nas.runs.settings import SearchConfig
from nas.space.scaling import dropped_strides_note, scale_down, strides_of, with_input
from nas.space.staged import StagedSpace
from nas.zoo import ZOO, reference

COSTS = {
    "MACs": lambda arch: arch.macs,
    "activations": lambda arch: arch.peak_activation_elements,
    "latency": load_target("pixel6-cpu").model().predict_ms,
}
TIMM_MACS = {  # timm 1.0.31, counted by forward hooks
    ("mobilenetv4-conv-s", 96): 36_212_288,
    ("mobilenetv2", 96): 56_289_152,
    ("mobilenetv2@1.0,96px", 96): 56_289_152,
}


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(("name", "side"), TIMM_MACS)
def test_a_reference_network_at_96_px_is_that_network(name: str, side: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [] if "@" in name else ["--resolution", str(side)]
    assert shown(capsys, "describe", name, *flags, "--target", "cortex-m7")["macs"] == TIMM_MACS[name, side]


@given(st.sampled_from(list(ZOO)), st.integers(16, 260))
@settings(max_examples=25, deadline=None)
def test_a_resolution_in_the_name_is_the_same_as_one_beside_it(name: str, side: int) -> None:
    network = reference(name)
    assert with_input(network, side, 3, 1000) == reference(f"{name}@{side}px")
    assert strides_of(with_input(network, side, 3, 1000)) == strides_of(network)


@given(st.sampled_from(list(ZOO)), st.integers(16, 250), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_more_pixels_never_cost_less_in_the_zoo(name: str, side: int, more: int) -> None:
    small, large = (with_input(reference(name), px, 3, 1000) for px in (side, side + more))
    assert all(cost(small) <= cost(large) for cost in COSTS.values())


@given(st.sampled_from([*SPACES]), st.integers(0, 9999), st.integers(16, 250), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_more_pixels_never_cost_less_in_a_space(name: str, seed: int, side: int, more: int) -> None:
    space = load("space", SPACES, name)
    (genotype,) = space.sample(np.random.default_rng(seed), 1)
    small, large = (space.with_input(px, 3, 10).decode(genotype) for px in (side, side + more))
    assert all(cost(small) <= cost(large) for cost in COSTS.values())
    assert small == with_input(space.decode(genotype), side, 3, 10)


def test_a_proxy_drops_early_strides_and_says_so() -> None:
    network = reference("mobilenetv4-conv-s")
    proxy = scale_down(network, 16, 0.25)
    assert proxy.final_feature_map[:2] == (4, 4) and proxy.name == "mobilenetv4-conv-s-proxy-16px"
    assert dropped_strides_note(strides_of(network), strides_of(proxy)) == ", 3 early strides set to 1"
    assert scale_down(proxy, 8, 1.0).name == "mobilenetv4-conv-s-proxy-8px"
    assert dropped_strides_note(strides_of(network), strides_of(scale_down(network, 128, 1.0))) == ""


def test_the_dropping_of_strides_can_be_asked_for_and_is_what_older_runs_had() -> None:
    """At commit dda5e84 a Conv-S at 96 px had a first stride of 1: a run of that release is resumed so."""
    older = SearchConfig.from_dict({"resolution": 96})
    assert older.drop_strides and not SearchConfig(resolution=96).drop_strides
    assert reference_network(older, 1000).macs == 137_322_752
    assert reference_network(SearchConfig(resolution=96), 1000).macs == 36_212_288
    space: StagedSpace = load("space", SPACES, "uib")
    genotype = space.sample(np.random.default_rng(0), 1)[0]
    dropped = space.with_input(64, 3, 10, drop_strides=True)
    assert dropped.strides == (1, *space.strides[1:])
    assert dropped.decode(genotype) == with_input(space.decode(genotype), 64, 3, 10, drop_strides=True)
    # Above 96 px no stride goes, so that most older runs are as a new one is.
    assert reference_network(replace(older, resolution=97), 1000) == reference_network(
        SearchConfig(resolution=97), 1000
    )
