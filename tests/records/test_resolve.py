"""What a user names as a network: one resolver, with one wording of each refusal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nas import api
from nas.arch import save_arch
from nas.cli import main
from nas.errors import InvalidInput, UnknownName
from nas.records.networks import arch_of, load_item, resolve
from nas.zoo import reference

STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
NETWORKS = (
    "mobilenetv2@0.75,96px",
    STORED / "finished",
    STORED / "many" / "edgetpu",
    STORED / "many" / "universal",
    STORED / "trained",
    STORED / "finished" / "best.json",
)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: Path(network).name)
def test_command_line_python_and_comparison_name_the_same_network(
    network: str | Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = resolve(network)
    assert found.arch == arch_of(network) == api.spec(network) and found.name == load_item(network)[0].name
    assert (found.source, found.accuracy, found.found_for) == (
        load_item(network)[0].source, load_item(network)[0].accuracy, load_item(network)[0].found_for,
    )  # fmt: skip
    assert main(["describe", str(network), "--target", "rpi5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == found.arch.macs


def test_where_weights_and_target_are(tmp_path: Path) -> None:
    assert resolve(STORED / "trained").weights == STORED / "trained"
    run = resolve(STORED / "finished")
    assert (run.found_for, run.weights) == ("pixel8-edgetpu", None) and run.accuracy is not None
    save_arch(replace(reference("mobilenetv2"), name="unnamed"), tmp_path / "mine.json")
    assert resolve(tmp_path / "mine.json").arch.name == "mine" and resolve(tmp_path / "mine.json").weights is None


def test_a_name_wins_over_a_path_of_the_same_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_arch(reference("mobilenetv1"), tmp_path / "mobilenetv2")
    assert resolve("mobilenetv2").arch == reference("mobilenetv2")
    assert resolve("./mobilenetv2").arch == reference("mobilenetv1")


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        ("mobilenetv5", UnknownName, "unknown network 'mobilenetv5'; did you mean 'mobilenetv2'"),
        ("no/such.json", InvalidInput, "there is no run folder and no spec file no/such.json; give one, or a name of"),
        ("x" * 200, UnknownName, "unknown network"),
        (STORED, InvalidInput, "is no run folder: it has no experiment.json"),
        (STORED / "killed-fine", InvalidInput, "has not finished; go on with: nas resume "),
        (STORED / "trained-killed", InvalidInput, "the training in .* has not finished; the command that began it"),
        (STORED / "many", InvalidInput, "is a search for several targets; name the results of one: "),
    ],
    ids=lambda value: str(value)[-20:],
)
def test_what_is_no_network_is_refused_in_the_same_words(
    network: str | Path, error: type[Exception], message: str
) -> None:
    for read in (resolve, arch_of, api.spec, load_item):
        with pytest.raises(error, match=message) as raised:
            read(network)
        assert "\n" not in str(raised.value)
