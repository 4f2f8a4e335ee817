"""What a target does not run: stated in its file with a source, found in networks, said wherever a latency is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from latency_models.roofline import Roofline
from latency_models.target import list_targets, load_target, parse_target
from latency_models.target_file import target_toml
from latency_models.unsupported import (
    HEAD,
    Unsupported,
    is_supported,
    left_out,
    left_out_text,
    places_text,
    refused_by,
)
from nas import api
from nas.arch import ArchSpec
from nas.compare.compare import compare
from nas.errors import InvalidInput
from nas.ops import UIB, Act, Conv, Head, InvertedResidual, MobileMQA, Shape
from nas.report.describe import describe, target_rows
from nas.runs.dependencies import target_content
from nas.zoo import reference
from tests.latency_models.test_target import GOOD

ATTENTION = Unsupported("op", "mobile_mqa", False, "Tab. 6")
GELU = Unsupported("act", "gelu", True, "the runtime's list of ops")
ENTRY = '\n[[unsupported]]\nop = "mobile_mqa"\nfalls_back = false\nsource = "Tab. 6"\n'
MQA = MobileMQA(2, 4, 4)


def network(*ops: object, act: Act = "relu") -> ArchSpec:
    """Ops behind a stem on a small image, in two stages."""
    return ArchSpec(Shape(8, 8, 3), ((Conv(8, 3, 2),), ops), Head(8, act=act), 10, name="small")  # type: ignore[arg-type]


def device(*unsupported: Unsupported) -> Roofline:
    return Roofline("chip", 1.0, 1.0, unsupported=unsupported)


# --- what is refused of a network -------------------------------------------------------------------------------------


def test_ops_and_activations_are_found_where_they_are() -> None:
    arch = network(UIB(8, 16, act="gelu"), MQA, UIB(8, 16), MQA, act="gelu")
    found = [(one.position, one.name) for one in refused_by(device(ATTENTION, GELU), arch)]
    assert found == [("1.0", "gelu"), ("1.1", "mobile_mqa"), ("1.3", "mobile_mqa"), (HEAD, "gelu")]
    assert refused_by(device(), arch) == () and refused_by(device(ATTENTION, GELU), network(UIB(8, 16))) == ()


def test_the_activation_of_an_absent_squeeze_excite_is_none() -> None:
    block = InvertedResidual(8, 16, se_channels=4, se_act="gelu")
    assert not is_supported(device(GELU), block)
    assert is_supported(device(GELU), replace(block, se_channels=0))
    assert is_supported(device(GELU), replace(block, se_act="relu"))


@pytest.mark.parametrize(
    ("target", "op", "runs"),
    [
        ("pixel4-dsp", MQA, False), ("pixel4-dsp", UIB(8, 16, act="gelu"), False), ("pixel4-dsp", UIB(8, 16), True),
        ("coral-edgetpu", MQA, False), ("pixel8-edgetpu", MQA, True), ("cortex-m7", MQA, True),
        ("cortex-m7", Conv(8, act="gelu"), False), ("s23-gpu", Conv(8, act="gelu"), True),
    ],
)  # fmt: skip
def test_what_the_targets_of_this_package_run(target: str, op: Conv, runs: bool) -> None:
    """arXiv 2404.10518v2, Tab. 6, has latencies of MNv4-Hybrid-M for the two GPUs and the Pixel 8, none for the DSP."""
    assert is_supported(load_target(target), op) == runs


def test_every_entry_of_this_package_has_a_source_and_survives_its_file() -> None:
    stating = [target for target in list_targets() if target.unsupported]
    assert {"pixel4-dsp", "coral-edgetpu", "zcu102-dpu", "cortex-m7"} <= {target.name for target in stating}
    for target in stating:
        assert all(one.source.strip() for one in target.unsupported)
        assert parse_target(target.name, target_toml(target), "again.toml") == target
        assert parse_target("x", target_toml(replace(target, name="x")), "again.toml").unsupported


def test_a_search_that_runs_does_not_depend_on_it() -> None:
    target = load_target("pixel4-dsp")
    assert target_content(target) == target_content(replace(target, unsupported=()))
    assert target.model().predict_ms(reference("mobilenetv2")) == replace(target, unsupported=()).model().predict_ms(
        reference("mobilenetv2")
    )


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_line_of_a_plan() -> None:
    chip = device(ATTENTION, GELU)
    ops = [UIB(8, 16), MQA]
    assert left_out_text(chip, left_out(chip, ops)) == "chip runs no attention (Tab. 6): the search leaves it out"
    both = left_out_text(chip, left_out(chip, [*ops, Conv(8, act="gelu")]))
    assert both == (
        "chip runs no attention (Tab. 6) and no GELU (the runtime's list of ops): the search leaves them out"
    )
    assert left_out_text(chip, left_out(chip, [UIB(8, 16)])) == ""
    assert "pixel4-dsp runs no attention (arXiv 2404.10518v2, Tab. 6" in left_out_text(
        load_target("pixel4-dsp"), left_out(load_target("pixel4-dsp"), ops)
    )


def test_places_are_listed_and_many_are_counted() -> None:
    assert places_text(["3.1"]) == "op 3.1"
    assert places_text(["3.1", "3.3", HEAD]) == "ops 3.1, 3.3, head"
    assert places_text([HEAD]) == "head"
    assert places_text([f"1.{i}" for i in range(12)]) == "ops 1.0, 1.1, 1.2 and 9 more"


def test_a_prediction_for_what_is_not_run_has_a_caution_beside_its_other_one() -> None:
    arch = network(MQA, UIB(8, 16, act="gelu"))
    said = device(ATTENTION, GELU).caution(arch)
    assert said == (
        "'chip' runs no mobile_mqa (op 1.0), the runtime refuses the network: Tab. 6; "
        "'chip' runs no gelu (op 1.1), it falls back to the CPU: the runtime's list of ops"
    )
    small = replace(device(ATTENTION), weight_capacity_kb=0.001).caution(arch) or ""
    assert small.startswith("'chip' runs no mobile_mqa") and small.endswith("the latency is a lower bound")
    assert device(ATTENTION, GELU).caution(network(UIB(8, 16))) is None


def test_describe_names_the_op_in_text_and_json(
    out: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(GOOD + ENTRY)
    words = ("describe", "mobilenetv4-hybrid-m", "--target", "./mine.toml")
    for more in ((), ("--kernels",)):
        assert "'mine' runs no mobile_mqa (ops 3.4, " in " ".join(out(*words, *more).split())
    (found,) = {json.dumps(one | {"position": ""}) for one in json.loads(out(*words, "--json"))["unsupported"]}
    assert json.loads(found) == {"position": "", "op": "mobile_mqa", "falls_back": False, "source": "Tab. 6"}
    assert json.loads(out("describe", "mobilenetv2", "--target", "./mine.toml", "--json"))["unsupported"] == []
    assert describe(network(MQA), device(ATTENTION)).unsupported[0].position == "1.0"


def test_a_comparison_names_the_networks() -> None:
    found = compare(["mobilenetv4-hybrid-m", "mobilenetv2"], ["pixel4-dsp", "pixel8-edgetpu"])
    (note,) = [note for note in found.notes if "runs no" in note]
    assert note.startswith(
        "pixel4-dsp runs no mobile_mqa, the runtime refuses the network: mobilenetv4-hybrid-m (arXiv"
    )


def test_predict_has_it_as_a_caution() -> None:
    row = api.predict("mobilenetv4-hybrid-m", "pixel4-dsp").iloc[0]
    assert row["caution"].startswith("'pixel4-dsp' runs no mobile_mqa")


def test_targets_lists_one_with_its_sources(out: Callable[..., str], refusal: Callable[..., str]) -> None:
    shown = " ".join(out("targets", "pixel4-dsp").split())
    assert "pixel4-dsp: Hexagon 690 (Snapdragon 855), int8, batch of 1" in shown
    assert "runs no op" in shown and "runs no activation" in shown and "refused" in shown and "to the CPU" in shown
    (row,) = json.loads(out("targets", "pixel4-dsp", "--json"))
    assert row == target_rows([load_target("pixel4-dsp")])[0]
    assert [{**one, "source": ""} for one in row["unsupported"]] == [
        {"op": "mobile_mqa", "falls_back": False, "source": ""},
        {"act": "gelu", "falls_back": True, "source": ""},
    ]
    assert "rpi5" in out("targets", "rpi5") and "runs no" not in out("targets", "rpi5")
    assert "did you mean 'pixel4-dsp'" in refusal("targets", "pixel4-dps")


# --- bad entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('op = "mobile_mqa"', 'op = "mobile_mqaa"', "unknown op 'mobile_mqaa'; did you mean 'mobile_mqa'?"),
        ('op = "mobile_mqa"', 'act = "gelo"', "unknown activation 'gelo'; did you mean 'gelu'?"),
        ('op = "mobile_mqa"', "", "entry 1 of [[unsupported]] must name either an op or an act, got neither"),
        ('op = "mobile_mqa"', 'op = "conv"\nact = "gelu"', "must name either an op or an act, got both"),
        ('op = "mobile_mqa"', "op = 3", "op of entry 1 of [[unsupported]] must be a non-empty text, got 3"),
        ("falls_back = false", "", "falls_back of entry 1 of [[unsupported]] must be true or false, got None"),
        ("falls_back = false", 'falls_back = "cpu"', "must be true or false, got 'cpu'"),
        ('source = "Tab. 6"', "", "source of entry 1 of [[unsupported]] must be a non-empty text, got None"),
        ('source = "Tab. 6"', 'source = " "', "source of entry 1 of [[unsupported]] must be a non-empty text"),
        ('source = "Tab. 6"', 'sauce = "Tab. 6"', "unknown key in entry 1 of [[unsupported]] 'sauce'"),
        ("[[unsupported]]", "[unsupported]", "unsupported must be a list of tables [[unsupported]], got {"),
        ("[[unsupported]]", "[[unsuported]]", "did you mean 'unsupported'"),
        (
            'source = "Tab. 6"\n',
            f'source = "Tab. 6"\n{ENTRY}',
            "entry 2 of [[unsupported]] names op 'mobile_mqa' again",
        ),
    ],
)
def test_a_bad_entry_is_one_line(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    assert old in ENTRY
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(GOOD + ENTRY.replace(old, new, 1))
    with pytest.raises(InvalidInput) as caught:
        load_target("./mine.toml")
    assert message in str(caught.value) and "mine.toml" in str(caught.value) and "\n" not in str(caught.value)
    assert message in refusal("describe", "mobilenetv1", "--target", "./mine.toml")
