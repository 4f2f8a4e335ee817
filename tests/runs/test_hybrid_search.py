"""A space with optional attention in whole searches: joint and sandwich training, cost, description and export."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from latency_models.target import load_target
from nas import registry
from nas.nn.network import load_weights
from nas.ops import MobileMQA
from nas.records.results import load_result
from nas.runs.joint_search import search
from nas.runs.settings import SearchConfig
from nas.space.cost_table import MACS, compile_table, cost_of
from nas.space.scaling import scale_down
from nas.supernet import presets
from nas.supernet.evaluator import SearchImages
from nas.supernet.sandwich import SandwichTraining, compile_steps
from tests.support.tiny import HYBRID, PRESET, images

NAME, TARGET = "tests.support.tiny:HYBRID", "pixel6-cpu"
LATENCY_MS = 0.011  # networks without attention stay far below

FAST = replace(PRESET, xla_options=presets.SMOKE.xla_options)


def test_a_joint_search_finds_attention_that_is_priced_described_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    model = load_target(TARGET).model()
    without = compile_table(HYBRID.coarse(), model).maximum()[0]
    registry.state(space=NAME)
    monkeypatch.setitem(presets.PRESETS, "tiny", FAST)
    data, run = images(), tmp_path / "run"
    np.savez(tmp_path / "data.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    result = search(
        SearchConfig(
            space=NAME, target=TARGET, latency_ms=LATENCY_MS, data=str(tmp_path / "data.npz"), resolution=32,
            preset="tiny", proxy_resolution=8, one_stage=True, finalists=0, baseline="none",
        ),
        run,
    )  # fmt: skip
    assert load_result(run / "best.json") == result and without < result.latency <= LATENCY_MS
    assert result.latency == pytest.approx(cost_of(model, result.arch))
    found = [op for stage in result.arch.stages for op in stage if isinstance(op, MobileMQA)]
    assert found
    weights, _ = load_weights(run / "inherited.safetensors", scale_down(result.arch, 8, 0.5))
    assert sum(name.endswith("query.weight") for name in weights) == len(found)
    assert out("describe", run / "best.json", "--target", TARGET).count("mobile mqa") == len(found)
    for form in ("onnx", "stablehlo"):
        assert "difference" in out("export", run / "best.json", "--format", form, "-o", tmp_path / f"best.{form}")


def test_sandwich_training_trains_attention() -> None:
    training = SandwichTraining(HYBRID.proxy(8, 0.5), FAST, images().augmentation, 0)
    largest, smallest = (training.space.decode(tuple(map(int, one))) for one in training.extremes)
    assert sum(isinstance(op, MobileMQA) for op in largest.stages[1]) == 2
    assert not any(isinstance(op, MobileMQA) for op in smallest.stages[1]) and cost_of(MACS, largest) > smallest.macs
    data = images()
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    sampler = SearchImages(x, y, x, y, jnp.full(1, 0.5), jnp.full(1, 0.25))
    rows = jnp.asarray(np.random.default_rng(0).integers(0, len(data.y_train), (4, 8)), jnp.int32)
    before = training.init_state().params
    names = [name for name in before if ".groups.1." in name]
    state, report = compile_steps(training)(training.init_state(), sampler, rows)
    assert len(names) == 26 and np.isfinite(report.loss).all()
    moved = {name: np.abs(np.asarray(state.params[name]) - np.asarray(before[name])).max() for name in names}
    # Strided keys and values are in no network of every step: chance decides whether these few have them.
    assert all(change > 0 for name, change in moved.items() if "_dw." not in name)
