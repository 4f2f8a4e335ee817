"""The contract of every block family, and of one that comes from outside as a single entry of the table.

That the Flax block has the shapes and parameters of its op is tests/nn, that every graph format gives its logits
tests/export: both fail for a family that they leave out.
"""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import jax
import numpy as np
import pytest

from nas.arch import ArchSpec, load_arch, save_arch
from nas.errors import InvalidInput, UnknownName
from nas.export.flax import folder as flax_folder
from nas.export.onnx.file import FORMAT as ONNX
from nas.export.stablehlo.file import FORMAT as STABLEHLO
from nas.export.tflite.file import FORMAT as TFLITE
from nas.export.timm.blocks import timm_network
from nas.export.weights import difference, logits
from nas.nn.network import get_weights, random_network
from nas.ops import FAMILIES, Conv, Family, Head, Op, Shape, family_of, op_class
from nas.space.scaling import scale_width
from tests.extending.op import FAMILY, Ghost
from tests.ops.members import MEMBERS, input_of

SHAPE = Shape(9, 12, 4)


def test_every_family_has_a_member_here() -> None:
    assert set(MEMBERS) == set(FAMILIES)
    assert all(type(op) is op_class(tag) and family_of(op) is FAMILIES[tag] for tag, op in MEMBERS.items())


@pytest.mark.parametrize("op", MEMBERS.values(), ids=MEMBERS)
def test_json_gives_every_family_back(op: Op) -> None:
    arch = ArchSpec(input_of(op, SHAPE), ((op,),), Head(), 5)
    again = ArchSpec.from_dict(json.loads(json.dumps(arch.to_dict())))
    assert again == arch and again.digest == arch.digest
    assert set(op.roles()) == {field.name for field in fields(op)}


@pytest.mark.parametrize("op", MEMBERS.values(), ids=MEMBERS)
def test_a_proxy_scales_every_channel_field_and_nothing_else(op: Op) -> None:
    scaled = op.scaled(lambda channels: 3 * channels)
    for name, role in op.roles().items():
        times = 3 if role.kind == "channels" else 1
        assert getattr(scaled, name) == (value := getattr(op, name)) * times or (times == 1 and value is True)
    stage, at = ((op, Conv(4)), 0) if op.is_front_end else ((Conv(4), op), 1)
    arch = ArchSpec(input_of(op, SHAPE), (stage,), Head(), 5)
    assert scale_width(arch, 3.0).stages[0][at] == op.scaled(lambda channels: max(4, int(3 * channels + 2) // 4 * 4))


@pytest.mark.parametrize("op", MEMBERS.values(), ids=MEMBERS)
def test_every_family_is_described_with_its_name_and_the_channels_of_the_input(op: Op) -> None:
    text = op.describe(SHAPE)
    assert text.startswith(op.label) and "\n" not in text


def test_ops_and_their_table_import_no_jax() -> None:
    code = "import sys, nas.arch, nas.ops; assert 'jax' not in sys.modules and 'flax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_family_without_a_searchable_form_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"family of nas.ops.conv:Conv cannot be searched"):
        Family("nas.ops.conv:Conv", "nas.nn.blocks.conv:ConvBlock").load_searchable()


def test_an_unknown_tag_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="unknown op 'zzz'; known: conv, "):
        op_class("zzz")
    data = ArchSpec(SHAPE, ((Conv(4),),), Head(), 5).to_dict()
    data["stages"][0][0]["op"] = "tests.extending.op:Ghost"  # a file names tags, never code
    with pytest.raises(InvalidInput, match=r"op 0.0: unknown op 'tests.extending.op:Ghost'"):
        ArchSpec.from_dict(data)
    with pytest.raises(UnknownName, match="unknown op 'ghost'"):
        family_of(Ghost(4))


@pytest.fixture
def ghost(monkeypatch: pytest.MonkeyPatch) -> ArchSpec:
    """A network with an op from outside, which one entry of the table makes known."""
    monkeypatch.setitem(FAMILIES, "ghost", FAMILY)
    return ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2), Ghost(3, 5), Ghost(4, act="hswish")),), Head(), 5, name="ghosts")


def test_a_family_from_outside_is_priced_read_back_and_scaled(ghost: ArchSpec, tmp_path: Path) -> None:
    save_arch(ghost, tmp_path / "spec.json")
    assert load_arch(tmp_path / "spec.json") == ghost
    assert ghost.macs == 16 * (27 * 4 + 4 * 3 + 25 * 3 + 6 * 4 + 9 * 4) + 8 * 5
    assert scale_width(ghost, 2.0).stages[0][1:] == (Ghost(8, 5), Ghost(8, act="hswish"))
    assert ghost.stages[0][1].describe(Shape(4, 4, 4)) == "ghost k5, 4-6"


def test_a_family_from_outside_is_trained_and_exported(ghost: ArchSpec, tmp_path: Path) -> None:
    weights = {name: np.asarray(value) for name, value in get_weights(random_network(ghost, 0)).items()}
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    expected = logits(ghost, weights, images)
    known = {"arch": ghost.digest, "origin": "trained"}
    for form in (ONNX, TFLITE, STABLEHLO):
        assert difference(form.run(form.bytes_of(ghost, weights, known), images), expected)[1] <= 1e-4
    lines = flax_folder.export(ghost, tmp_path / "model", weights=weights, provenance=known)
    source = (tmp_path / "model" / "model.py").read_text()
    assert "checked without this package" in lines[-1]
    assert "class GhostBlock" in source and "def _joined" in source and "class Ghost(Op)" not in source
    with pytest.raises(InvalidInput, match=r"op 0.1 is ghost; timm has no block string for it"):
        timm_network(ghost, lambda name, _: weights[name])


def test_a_gradient_reaches_every_weight_of_a_family_from_outside(ghost: ArchSpec) -> None:
    from nas.nn.network import merged, split_statistics

    weights, _ = split_statistics(get_weights(random_network(ghost, 0)))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    slopes = jax.grad(lambda weights: (merged(ghost, weights)(images, batch_stats=True) ** 2).sum())(weights)
    assert all(np.abs(slope).max() > 0 for slope in slopes.values())


@pytest.mark.parametrize(
    ("block", "match"),
    [
        ("tests.ops.broken:NeedsTheEngine", "needs 'from nas.arch import ArchSpec', which a stand-alone model has not"),
        ("tests.ops.broken:Twice", "both define Linear"),
        ("math:sqrt", "the source of math cannot be read"),
    ],
)
def test_a_block_that_cannot_be_copied_is_refused_in_one_line(
    ghost: ArchSpec, monkeypatch: pytest.MonkeyPatch, block: str, match: str
) -> None:
    monkeypatch.setitem(FAMILIES, "ghost", replace(FAMILY, block=block))
    with pytest.raises(InvalidInput, match=match) as error:
        flax_folder.model_source(ghost, {"origin": "trained"})
    assert "\n" not in str(error.value)


def test_a_family_is_a_value() -> None:
    assert Family("a:B", "c:D") == Family("a:B", "c:D", None)
