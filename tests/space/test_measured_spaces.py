"""Spaces of networks that others measured: the laws of spaces; counts equal the tables' columns and published ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import measured
from latency_models.target import load_target
from nas.arch import ArchSpec, load_arch, save_arch
from nas.cli import main
from nas.errors import InvalidInput, UnknownName
from nas.ops import InvertedResidual
from nas.registry import SPACES, load
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, compile_table, cost_of
from nas.space.scaling import with_input
from nas.space.staged import StagedSpace
from nas.zoo import reference
from search_spaces.ofa_mbv3 import once_for_all

MBCONV: StagedSpace = load("space", SPACES, "mbconv_imagenet")
OFA: StagedSpace = load("space", SPACES, "ofa_mbv3")
MEASURED_SPACES = [MBCONV, OFA, once_for_all("wide", 1.2)]
EFFICIENTNET_B0 = {
    f"stage{s}.{name}": value
    for s, values in enumerate(
        zip((1, 2, 2, 3, 3, 4, 1), (3, 3, 5, 3, 5, 5, 3), (1, 6, 6, 6, 6, 6, 6), (True,) * 7, strict=True)
    )
    for name, value in zip(("depth", "kernel", "expansion", "excited"), values, strict=True)
}
COSTS = [MACS, PARAMS, PEAK_ACTIVATION, load_target("pixel8-edgetpu").model()]
TABLES = {(space.name, cost.name): compile_table(space, cost) for space in MEASURED_SPACES for cost in COSTS}


@st.composite
def members(draw: Any) -> tuple[StagedSpace, tuple[int, ...]]:
    """A space of measured networks and a genotype, its inactive decisions anywhere."""
    space: StagedSpace = draw(st.sampled_from(MEASURED_SPACES))
    return space, tuple(draw(st.integers(0, len(decision.options) - 1)) for decision in space.decisions)


@given(members())
def test_encode_gives_the_canonical_genotype(member: tuple[StagedSpace, tuple[int, ...]]) -> None:
    space, genotype = member
    arch = space.decode(genotype)
    (expected,) = space.canonical(np.array([genotype]))
    assert space.encode(arch) == tuple(expected)
    assert space.decode(space.encode(arch)) == arch


@given(members())
def test_tables_equal_the_sum_over_kernels(member: tuple[StagedSpace, tuple[int, ...]]) -> None:
    space, genotype = member
    arch = space.decode(genotype)
    for cost in COSTS:
        (value,) = TABLES[space.name, cost.name].score(np.array([genotype]))
        assert value == pytest.approx(cost_of(cost, arch), rel=1e-12, abs=0)


@given(members(), st.sampled_from([16, 28, 64, 132, 192]))
def test_deploying_commutes_with_decoding(member: tuple[StagedSpace, tuple[int, ...]], side: int) -> None:
    space, genotype = member
    assert space.with_input(side, 1, 10).decode(genotype) == with_input(space.decode(genotype), side, 1, 10)


def test_sizes_are_the_published_ones() -> None:
    assert OFA.size() == sum((3 * 3) ** depth for depth in (2, 3, 4)) ** 5  # "roughly 2 x 10^19", section 3.2
    assert f"{OFA.size():.0e}" == "2e+19"
    assert MBCONV.size() == (3 * 2 * 3 * 2) ** 6 * (3 * 2 * 4 * 2)  # about 10^11


def mbconv_specs() -> tuple[ArchSpec, ...]:
    return measured.all_specs(measured.MBCONV_TABLE, MBCONV.name)


def test_parameters_of_all_mbconv_networks_equal_the_column() -> None:
    for row, spec in zip(
        measured.rows_of(measured.MBCONV_TABLE),
        measured.all_specs(measured.MBCONV_TABLE, "mbconv_imagenet"),
        strict=True,
    ):
        assert spec.params == pytest.approx(float(row["params_M"]) * 1e6, rel=1e-5)  # six digits


def test_macs_of_all_mbconv_networks_equal_the_column_as_it_counts() -> None:
    for row, spec in zip(
        measured.rows_of(measured.MBCONV_TABLE),
        measured.all_specs(measured.MBCONV_TABLE, "mbconv_imagenet"),
        strict=True,
    ):
        assert measured.counted_macs(spec) == pytest.approx(float(row["macs_M"]) * 1e6, abs=500)


def test_efficientnet_b0_is_a_member() -> None:
    arch = MBCONV.decode(MBCONV.genotype_of(EFFICIENTNET_B0))
    assert (arch.params, arch.macs) == (5_288_548, 385_814_752)  # torchvision's and timm's counts


def test_once_for_all_around_mobilenet_v3_large() -> None:
    """With its depths, kernels and expansions the only differences are those of the released block widths."""
    depths, kernels = (2, 3, 4, 2, 3), (3, 5, 3, 3, 5)
    values = {f"stage{s}.depth": depth for s, depth in enumerate(depths)}
    values |= {f"stage{s}.block{i}.kernel": kernel for s, kernel in enumerate(kernels) for i in range(4)}
    ours, theirs = OFA.decode(OFA.genotype_of(values)), reference("mobilenetv3-large")
    v3_ops = [op for stage in theirs.stages[2:-1] for op in stage]
    our_ops = [op for stage in ours.stages[1:-1] for op in stage]
    assert ours.head == theirs.head and ours.stages[-1] == theirs.stages[-1]
    assert ours.stages[0] == theirs.stages[0] + theirs.stages[1]
    for op, like in zip(our_ops, v3_ops, strict=True):
        assert isinstance(like, InvertedResidual)
        assert replace(op, expanded_channels=0, se_channels=0) == replace(like, expanded_channels=0, se_channels=0)
        assert bool(op.se_channels) == bool(like.se_channels)
        if op.expanded_channels == like.expanded_channels:
            assert op == like


def test_the_largest_once_for_all_network_by_closed_sums() -> None:
    """A second route to its counts, with the bias of the hidden layer, 1,280 parameters, that the authors leave out."""
    arch = OFA.decode(tuple(len(decision.options) - 1 for decision in OFA.decisions))
    params, macs = 3 * 16 * 9 + 2 * 16 + 16 * 9 + 2 * 16 + 16 * 16 + 2 * 16, 112**2 * (3 * 16 * 9 + 16 * 9 + 16 * 16)
    before = 16
    for out, squeezed, side, stride in (
        (24, (0,) * 4, 56, 2),
        (40, (40, 64, 64, 64), 28, 2),
        (80, (0,) * 4, 14, 2),
        (112, (120, 168, 168, 168), 14, 1),
        (160, (168, 240, 240, 240), 7, 2),
    ):
        for i, squeeze in enumerate(squeezed):
            wide, side_in = 6 * before, side if i else side * stride
            gate = 2 * squeeze * wide
            params += wide * (before + 49 + out) + 2 * (2 * wide + out) + (gate + squeeze + wide if squeeze else 0)
            macs += side_in**2 * before * wide + side**2 * wide * (49 + out) + gate
            before = out
    params += 160 * 960 + 2 * 960 + 960 * 1280 + 1280 + 1280 * 1000 + 1000
    macs += 7**2 * 160 * 960 + 960 * 1280 + 1280 * 1000
    assert (arch.params, arch.macs) == (params, macs) == (7_664_760 + 1280, 566_170_656)


def test_macs_of_mobilenet_v2_equal_the_column_cut_to_millions() -> None:
    rows = [row for row in measured.rows_of(measured.PIXEL_TABLE) if row["model"] == "mobilenet_v2"]
    assert len(rows) == 22
    for row in rows:
        spec = measured.pixel_spec(row)
        assert spec.macs // 10**6 == int(row["macs_M"])
        without_norm = sum(kernel.weights for kernel in spec.kernels) + spec.num_classes  # what the column counts
        assert round(without_norm / 1e6, 2) == float(row["params_M"])


def test_macs_of_mobilenet_v3_large_round_to_the_column() -> None:
    rows = [row for row in measured.rows_of(measured.PIXEL_TABLE) if row["model"].startswith("mobilenet_v3_large")]
    assert len({(row["model"], row["width"]) for row in rows}) == 3
    for row in rows:
        spec = measured.pixel_spec(row)
        assert round(spec.macs / 1e6) == int(row["macs_M"])
        assert spec.params / 1e6 == pytest.approx(float(row["params_M"]), abs=0.1)


@pytest.mark.parametrize("device", measured.DEVICES)
def test_every_device_has_specs_and_positive_latencies(device: str) -> None:
    data = measured.measured(device)
    assert len(data.specs) == len(data.names) == len(data.latency_ms) == len(set(data.names)) > 2
    assert np.isfinite(data.latency_ms).all() and (data.latency_ms > 0).all()


def test_columns_are_milliseconds_of_a_batch() -> None:
    a100, first = measured.measured("a100"), measured.rows_of(measured.MBCONV_TABLE)[0]
    assert a100.batch == 128
    assert a100.latency_ms[0] == pytest.approx(128_000 / float(first["throughput_a100_img_per_s"]))
    assert len(measured.measured("zcu102").specs) == 1500
    assert {spec.input_shape.height for spec in measured.measured("titan-rtx-batch-64").specs} == {*range(128, 225, 4)}


def test_tables_are_those_of_the_reference(shared: Any) -> None:
    for path in (measured.TABLE, measured.MBCONV_TABLE, measured.OFA_TABLE, measured.PIXEL_TABLE):
        assert path.read_bytes() == (shared / "reference" / "measured" / path.name).read_bytes()


def test_a_decoded_spec_is_described(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for space in MEASURED_SPACES:
        arch = space.decode(tuple(len(decision.options) - 1 for decision in space.decisions))
        save_arch(arch, tmp_path / "spec.json")
        assert load_arch(tmp_path / "spec.json") == arch
        assert main(["describe", str(tmp_path / "spec.json"), "--target", "zcu102-dpu", "--json"]) == 0
        assert f'"macs": {arch.macs}' in capsys.readouterr().out


def test_wrong_genotypes_values_and_members_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a genotype of 'ofa_mbv3' has 45 indices"):
        OFA.decode((0, 1))
    with pytest.raises(InvalidInput, match=r"stage0\.kernel of 'mbconv_imagenet' must be one of \(3, 5\), got 7"):
        MBCONV.genotype_of({"stage0.kernel": 7})
    with pytest.raises(InvalidInput, match=r"stage9\.kernel of 'ofa_mbv3' must be absent: there is no such choice"):
        OFA.genotype_of({"stage9.kernel": 3})
    for foreign in (reference("mobilenetv2"), reference("mobilenetv3-large"), MBCONV.decode((0,) * 28)):
        with pytest.raises(InvalidInput, match="is no architecture of the space 'ofa_mbv3'"):
            OFA.encode(foreign)
    with pytest.raises(UnknownName, match="did you mean 'zcu102'"):
        measured.measured("zcu120")
