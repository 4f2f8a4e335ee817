"""nas search --weights: what the plan says, what the run depends on, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from nas.arch import save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.nn.network import get_weights, random_network, save_weights
from nas.runs.dependencies import Dependencies
from nas.runs.outside_start import absolute_source, outside_digest, outside_start, start_params
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.supernet import Supernet, parameters
from nas.zoo import reference


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MobileNetV4-Conv-S with random weights, as NETWORK=FILE."""
    folder = tmp_path_factory.mktemp("weights")
    arch = reference("mobilenetv4-conv-s")
    save_arch(arch, folder / "arch.json")
    save_weights(folder / "w.safetensors", get_weights(random_network(arch, 3)), arch, "trained")
    return f"mobilenetv4-conv-s={folder / 'w.safetensors'}"


def test_the_plan_says_what_is_taken_and_writes_nothing(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--target", "edgetpu", "--preset", "smoke", "--weights", source, "--plan"]) == 0
    assert "supernet starts from mobilenetv4-conv-s=" in capsys.readouterr().out


def test_a_run_depends_on_the_weights_and_settings_without_them_are_as_before(source: str) -> None:
    assert "weights" not in SearchConfig().to_dict()
    config = SearchConfig(target="edgetpu", preset="smoke", weights=absolute_source(source))
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    plan = make_plan(config)
    digests = Dependencies.of([plan.sources], {}).digests
    assert digests[f"weights {config.weights}"] == outside_digest(source)
    space = plan.proxy(plan.space.coarse())
    fresh = parameters(Supernet(space, np.random.default_rng(0)))
    assert start_params(None, space, fresh) is fresh
    start = outside_start(source, space, fresh)
    assert start.arrays > 0.3 * len(fresh) and len(start.taken) > 50
    same = start_params(source, space, fresh)
    assert all(np.array_equal(same[name], start.params[name]) for name in fresh)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "weights to start from are those of a training, or NETWORK=FILE"),
        ("mobilenetv4-conv-s=nowhere.pth", "there is no file of weights"),
    ],
)
def test_bad_sources_get_one_line(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match=message):
        outside_digest(text)
    assert main(["search", "--preset", "smoke", "--target", "edgetpu", "--weights", text, "--plan"]) == 2
    assert message in capsys.readouterr().err and not Path("runs").exists()
