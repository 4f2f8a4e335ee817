"""Comparisons: what counts as an item, fronts within equal kinds only, references without accuracy, the files."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from latency_models.target import load_target
from nas.arch import ArchSpec, save_arch
from nas.compare.compare import Comparison, compare
from nas.compare.files import write
from nas.compare.table import tables
from nas.errors import InvalidInput, UnknownName
from nas.files import new_folder
from nas.ops import Shape
from nas.records.networks import PUBLISHED_KIND
from nas.records.results import TRAINED_ALONE, display_text, load_result
from nas.search.pareto import hypervolume_2d, non_dominated
from nas.zoo import BASELINES, reference
from tests.support.run_folder import ALONE, SPACE, accuracy_of, add_finalists, make_run, trained_alone

TARGETS = ["edgetpu", "pixel6-cpu"]
SPEC = SPACE.decode(SPACE.sample(np.random.default_rng(5), 1)[0])


def training(folder: Path, arch: ArchSpec, **kind: object) -> Path:
    """A folder as `nas train` leaves it."""
    folder.mkdir()
    accuracy = trained_alone(accuracy_of(arch, np.random.default_rng(0)), **kind)
    (folder / "train.json").write_text(json.dumps({"arch": arch.to_dict(), "accuracy": accuracy}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the same data, one on other data, a training and a spec."""
    path = tmp_path_factory.mktemp("items")
    make_run(path / "first")
    make_run(path / "second", seed=1)
    save_arch(SPEC, path / "mine.json")
    training(path / "trained", SPEC, how=TRAINED_ALONE, width=1, resolution=224)
    return path


@pytest.fixture(scope="module")
def everything(folder: Path) -> Comparison:
    """All of them compared."""
    return compare([folder / name for name in ("first", "second", "mine.json", "trained")], TARGETS)


def test_rows_hold_predicted_latency_and_the_accuracy_of_the_run(folder: Path, everything: Comparison) -> None:
    rows = everything.rows
    best = load_result(folder / "first" / "best.json")
    front = pd.read_csv(folder / "first" / "front.csv")
    mine = rows[(rows["item"] == "first") & (rows["target"] == "pixel6-cpu")]
    assert set(mine["digest"]) == {best.arch.digest, *front["digest"]} and mine["digest"].is_unique
    chosen = mine[mine["chosen"]].iloc[0]
    assert chosen["latency_ms"] == load_target("pixel6-cpu").model().predict_ms(best.arch)
    assert (chosen["top1"], chosen["standard_error"]) == (best.accuracy.top1, best.accuracy.standard_error)
    assert (chosen["macs"], chosen["params"]) == (best.arch.macs, best.arch.params)
    by_digest = dict(zip(front["digest"], front["top1"], strict=True))
    assert all(by_digest[row["digest"]] == row["top1"] for _, row in mine[~mine["chosen"]].iterrows())
    assert set(rows["target"]) == set(TARGETS) and set(rows["source"]) == {"run", "spec", "reference"}


def test_only_equal_kinds_share_a_front_and_a_hypervolume(everything: Comparison) -> None:
    rows, volumes = everything.rows, everything.hypervolumes
    assert len(everything.kinds) == 2
    for (target, kind), group in rows[rows["accuracy_kind"] != ""].groupby(["target", "accuracy_kind"]):
        points = group[["latency_ms", "top1"]].to_numpy()
        assert group["on_front"].tolist() == non_dominated(points, (True, False)).tolist()
        of_kind = volumes[(volumes["target"] == target) & (volumes["accuracy_kind"] == kind)].set_index("item")
        corner = of_kind["reference_latency_ms"].iloc[0]
        errors = np.stack([points[:, 0], 1 - points[:, 1]], axis=1)
        assert of_kind.loc["all", "hypervolume"] == hypervolume_2d(errors, (corner, 1.0))
        assert (of_kind["hypervolume"] <= of_kind.loc["all", "hypervolume"]).all() and (
            of_kind["hypervolume"] > 0
        ).all()
    assert not rows[rows["accuracy_kind"] == ""]["on_front"].any()
    assert rows[rows["item"] == "trained"]["on_front"].all()  # alone in its kind, whatever the runs reached


def test_references_are_rebuilt_for_what_is_compared_and_have_no_accuracy(everything: Comparison) -> None:
    rows = everything.rows
    references = rows[(rows["source"] == "reference") & (rows["target"] == "edgetpu")]
    assert set(references["name"]) == set(BASELINES) and references["top1"].isna().all()
    conv_s = references[references["name"] == "mobilenetv4-conv-s"].iloc[0]
    assert conv_s["digest"] == reference("mobilenetv4-conv-s", resolution=224, num_classes=10).digest


def test_references_alone_stay_as_published_and_are_not_added(folder: Path) -> None:
    found = compare(["mobilenetv2", "mobilenetv4-conv-l"], ["rpi5"], "default")
    assert found.rows["digest"].tolist() == [reference(name).digest for name in ("mobilenetv2", "mobilenetv4-conv-l")]
    assert found.kinds == (PUBLISHED_KIND["authors"],) and found.rows["top1"].tolist() == pytest.approx([0.718, 0.829])
    plain = compare(["mobilenetv2@100px"], ["rpi5"])  # at no resolution that anyone published an accuracy for
    assert plain.kinds == () and plain.hypervolumes.empty and plain.optimal.empty and plain.rows["top1"].isna().all()


def test_every_input_has_references_of_its_own(tmp_path: Path) -> None:
    for name, shape in {"a": Shape(224, 224, 3), "b": Shape(64, 64, 1), "c": Shape(64, 32, 1)}.items():
        save_arch(ArchSpec(shape, SPEC.stages, SPEC.head, 10), tmp_path / f"{name}.json")
    found = compare([tmp_path / f"{name}.json" for name in "abc"], ["rpi5"])
    assert sum(found.rows["source"] == "reference") == 3 * len(BASELINES) and found.rows["name"].is_unique
    assert any("references rebuilt for 64x32x1" in note for note in found.notes)


def test_a_proxy_trained_alone_is_named_as_one(tmp_path: Path) -> None:
    folder = training(tmp_path / "small", SPEC, how=TRAINED_ALONE, width=0.25)
    assert any("small was trained as a proxy" in note for note in compare([folder], ["rpi5"]).notes)


def test_a_run_with_finalists_stands_beside_equally_trained_ones(tmp_path: Path) -> None:
    run = add_finalists(make_run(tmp_path / "run"))
    other = add_finalists(make_run(tmp_path / "other", seed=1, target="pixel6-cpu"))
    found = compare([run, other], TARGETS)
    alone, shared = found.kinds
    assert ALONE in alone and "supernet" in shared and found.rows.duplicated(["name", "target"]).sum() == 0
    best = load_result(run / "best.json")
    mine = found.rows[(found.rows["item"] == "run") & (found.rows["target"] == "edgetpu")]
    trained, in_supernet = (mine[mine["accuracy_kind"] == kind] for kind in (alone, shared))
    assert trained["top1"].tolist() == pytest.approx([0.9, 0.89, 0.88])  # not the one that stopped after 1 epoch
    assert trained["standard_error"].iloc[1] == pytest.approx((0.89 * 0.11 / 500) ** 0.5)
    assert trained["name"].iloc[0] == "run" and in_supernet["name"].iloc[0] == "run in the supernet"
    for rows in (trained, in_supernet):
        assert rows["digest"].is_unique and rows[rows["chosen"]]["digest"].tolist() == [best.arch.digest]
    front = pd.read_csv(run / "front.csv")
    assert set(in_supernet["digest"]) == {best.arch.digest, *front["digest"]} and in_supernet["top1"].iloc[0] == 0.1
    assert set(found.regrets["accuracy_kind"]) == {alone} and len(found.regrets) == 4
    (run / "finalists.csv").unlink()
    with pytest.raises(InvalidInput, match=r"cannot read .*finalists\.csv"):
        compare([run], TARGETS)


def test_equal_labels_are_numbered(folder: Path, tmp_path: Path) -> None:
    save_arch(SPEC, tmp_path / "mine.json")
    found = compare([folder / "mine.json", tmp_path / "mine.json", folder / "mine.json"], ["rpi5"])
    assert found.rows[found.rows["source"] == "spec"]["name"].tolist() == ["mine (1)", "mine (2)"]


def test_the_tables_and_the_files_hold_it(everything: Comparison, tmp_path: Path) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(*tables(everything))
    shown = console.export_text()
    names = ("first", "second", "mine", "trained", "mobilenetv1", *TARGETS, *map(display_text, everything.kinds))
    assert all(name in shown for name in names)
    paths = write(everything, tmp_path)
    assert {path.name for path in paths} == {
        "compare.html", "comparison.json", "comparison.csv", "hypervolume.csv", "optimal.csv", "compare.png",
        "compare.svg",
    } == {path.name for path in tmp_path.iterdir()}  # fmt: skip
    empty = {"top1": "", "standard_error": "", "latency_error_percent": ""}
    again = pd.read_csv(tmp_path / "comparison.csv", keep_default_na=False, na_values=empty)
    pd.testing.assert_frame_equal(again, everything.rows, check_dtype=False)
    body = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["latency_ms"] for row in body["rows"]] == pytest.approx(everything.rows["latency_ms"].tolist())
    assert [row["top1"] is None for row in body["rows"]] == everything.rows["top1"].isna().tolist()
    assert len(body["optimal"]) == len(everything.optimal) and body["targets"] == TARGETS
    first = [path.read_bytes() for path in paths]
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG") and b"<svg" in first[-1]
    assert [path.read_bytes() for path in write(everything, tmp_path)] == first


@pytest.mark.parametrize("names", [["a$x_1$", "_b"], ["alone"]])
def test_the_plot_takes_any_name_and_no_accuracy_at_all(names: list[str], tmp_path: Path) -> None:
    for name in names:
        save_arch(SPEC, tmp_path / f"{name}.json")
    found = compare([tmp_path / f"{name}.json" for name in names], ["edgetpu", "rpi5", "s23-gpu", "cortex-m7"])
    for path in write(found, tmp_path):
        assert path.stat().st_size > 0
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_item_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    broken = make_run(tmp_path / "broken")
    (broken / "front.csv").write_text("digest,spec\nx,y\n")
    altered = make_run(tmp_path / "altered")
    text = (altered / "front.csv").read_text()
    (altered / "front.csv").write_text(text.replace("specs/", "specs/../specs/").replace("\n", "\nf", 1))
    bad_training = training(tmp_path / "bad", SPEC)
    (bad_training / "train.json").write_text('{"accuracy": 3}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign.json").write_text('{"schema": "other"}')
    unfinished = make_run(tmp_path / "unfinished", finished=False)
    (tmp_path / "torn.json").write_text(json.dumps(SPEC.to_dict())[:-30])
    (tmp_path / "newer.json").write_text(json.dumps(SPEC.to_dict() | {"version": 2}))
    items = [broken, altered, bad_training, tmp_path / "empty", tmp_path / "foreign.json", unfinished, "absent/run"]
    for item in (*items, tmp_path / "torn.json", tmp_path / "newer.json"):
        with pytest.raises(InvalidInput) as error:
            compare([item], ["rpi5"])
        assert "\n" not in str(error.value) and Path(item).name.partition(".")[0] in str(error.value)
    with pytest.raises(UnknownName, match="mobilenetv2"):
        compare(["mobilenetv22"], ["rpi5"])
    with pytest.raises(UnknownName, match="rpi5"):
        compare([folder / "first"], ["rpi55"])
    with pytest.raises(InvalidInput, match="at least one"):
        compare([], ["rpi5"])


def test_pages_and_plots_of_many_networks_show_those_of_most_interest(tmp_path: Path) -> None:
    run, specs = make_run(tmp_path / "run"), SPACE.sample(np.random.default_rng(2), 12).tolist()
    for number, genotype in enumerate(specs):
        save_arch(SPACE.decode(genotype), tmp_path / f"={number}.json")
    many = compare([run, *sorted(tmp_path.glob("=*.json"))], TARGETS)
    few = many.of_most_interest(10)
    assert many.of_most_interest(len(many.entries)) is many
    assert len(few.entries) == 10 and len(few.rows) == 10 * len(TARGETS)
    assert few.entries[0].chosen
    assert list(few.rows["name"])[:10] == [entry.name for entry in few.entries]
    assert f"pages and plots show 10 of {len(many.entries)} networks" in few.notes[-1]
    fronts = many.rows.groupby("name")["on_front"].sum()
    left_out = set(many.rows["name"]) - set(few.rows["name"])
    assert fronts[list(left_out)].max() <= fronts[[e.name for e in few.entries if e.source != "reference"]].max()
    write(many, out := new_folder(tmp_path / "o"))
    text = (out / "comparison.csv").read_text()
    assert ",'=0.json" in text or "'=0" in text


def test_a_network_that_a_target_does_not_run_is_on_no_front_there() -> None:
    names = ["mobilenetv4-hybrid-m", "mobilenetv4-conv-s"]
    rows = compare(names, ["pixel4-dsp", "pixel6-cpu"]).rows.set_index(["target", "name"])
    assert rows.loc[("pixel6-cpu", names[0]), "on_front"] and not rows.loc[("pixel4-dsp", names[0]), "on_front"]
    assert all(rows.loc[(target, names[1]), "on_front"] for target in ("pixel4-dsp", "pixel6-cpu"))
