"""A whole search over blocks of several families, shared decisions, skips and patterns of strides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import registry
from nas.arch import load_arch
from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices, SeparableConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.ops.mixconv import MixConvChoices
from nas.ops.tucker import TuckerChoices
from nas.runs.joint_search import search
from nas.runs.settings import SearchConfig
from nas.space.choices import Switch
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace
from nas.supernet import presets
from tests.support.tiny import PRESET, images, latency_range

RESIDUAL = InvertedResidualChoices((3,), (2,), (False, True), skips=(True, False))
FAMILIES = Switch((RESIDUAL, MixConvChoices(((3, 5),), (2,)), TuckerChoices((3, 5), (0.5,), (0.5,))))
SPACE = StagedSpace(
    name="families",
    input_shape=Shape(32, 32, 3),
    num_classes=4,
    stages=(
        Single("stem", ConvChoices(), filters=(16,), stride=2),
        stack("stage0", (16, 32), (2,), FusedIBChoices((1.0,), (3, 5)), SeparableConvChoices((3, 5))),
        stack("stage1", (32, 48), (2,), FAMILIES, shared=True),
    ),
    head=Head(),
    stride_patterns=((2, 2, 1), (1, 2, 2)),
)
FAST = replace(PRESET, xla_options=presets.SMOKE.xla_options)


def test_a_search_over_several_families_keeps_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = images()
    np.savez(tmp_path / "q.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    monkeypatch.setitem(presets.PRESETS, "tiny", FAST)
    monkeypatch.setitem(registry.SPACES, "families", f"{__name__}:SPACE")
    settings = SearchConfig(
        space="families", target="pixel6-cpu", latency_ms=0.02, data=str(tmp_path / "q.npz"), resolution=32,
        preset="tiny", proxy_resolution=8, baseline="none",
    )  # fmt: skip
    low, high = latency_range(settings)
    result = search(replace(settings, latency_ms=(low + high) / 2), tmp_path / "run")
    assert low <= result.latency <= (low + high) / 2
    arch = load_arch(tmp_path / "run" / "best.json")
    space = SPACE.with_input(32, 3, 4)
    genotype = space.encode(arch)
    assert space.decode(genotype) == replace(arch, name=space.name)
    assert {decision.name for decision in space.decisions} == {
        "strides", "stage0.filters", "stage0.block0.kernel", "stage0.block1.kernel", "stage1.filters", "stage1.op",
    }  # fmt: skip
