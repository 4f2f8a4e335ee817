"""Every extension point, used from outside: one file each, the core untouched. The recipes are docs/extending.md."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latency_models.target import load_target
from nas import api
from nas.arch import ArchSpec, load_arch
from nas.cli import main
from nas.data import load as load_data
from nas.errors import InvalidInput
from nas.nn.network import get_weights, random_network
from nas.ops import FAMILIES, Conv, Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.progress import Evaluation, Progress
from nas.quantisation.calibrate import calibrated_ranges
from nas.records.results import metric_of
from nas.registry import SPACES, STAGE_FORMS, load, state
from nas.search.accuracy.evidence import kendall_tau
from nas.search.accuracy.model import accuracy_model
from nas.space.choices import Switch
from nas.space.cost_table import MACS, compile_table, cost_of
from nas.space.forms import Single, Stack
from nas.space.scaling import scale_down
from nas.space.staged import StagedSpace
from nas.trackers import tracking
from nas.training.loop import TrainingConfig, train
from nas.training.optimizers import AdamW
from nas.training.step import image_splits, network_outputs
from tests.extending.cost import LARGE_WINDOWS
from tests.extending.op import FAMILY, GhostChoices
from tests.extending.space import SPACE
from tests.extending.stage_form import Plain
from tests.extending.target import CHIP
from tests.extending.task import Quantile
from tests.support.slices import assert_equal_slices

HERE = "tests.extending"
FILES = (
    "target.toml",
    "target.py",
    "data_set.py",
    "cost.py",
    "algorithm.py",
    "exporter.py",
    "space.py",
    "op.py",
    "stage_form.py",
    "evaluator.py",
    "accuracy_model.py",
    "task.py",
    "tracker.py",
    "calibration_method.py",
)


def test_a_calibration_method_reads_ranges_off_histograms() -> None:
    name = f"{HERE}.calibration_method:nine_tenths"
    state(calibration_method=name)
    arch = ArchSpec(Shape(4, 4, 1), ((Conv(2, 3, 1, "relu"),),), Head(0), 3)
    images, weights = np.arange(32.0, dtype=np.float32).reshape(2, 4, 4, 1), get_weights(random_network(arch, 0))
    plain, own = (
        calibrated_ranges(arch, lambda tensor, _: np.asarray(weights[tensor]), [images], method)
        for method in ("max", name)
    )
    assert own["pictures"] == (0, pytest.approx(0.9 * 31)) and plain["pictures"] == (0, 31)


def test_a_target_is_a_file_or_a_value(root: Path) -> None:
    in_file = load_target(str(root / "tests" / "extending" / "target.toml"))
    as_value = load_target(f"{HERE}.target:CHIP")
    arch = SPACE.decode([0] * len(SPACE.decisions))
    assert as_value is CHIP and in_file.model().predict_ms(arch) == as_value.model().predict_ms(arch) > 0
    with pytest.raises(InvalidInput, match="must be a Target, got StagedSpace"):
        load_target(f"{HERE}.space:SPACE")


def test_an_op_and_a_stage_form_are_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(FAMILIES, "ghost", FAMILY)
    monkeypatch.setitem(STAGE_FORMS, "plain", f"{HERE}.stage_form:SupernetPlain")
    either = Switch((GhostChoices((3, 5)), InvertedResidualChoices((3,), (2,))))
    stages = (
        Single("stem", ConvChoices(), filters=(8, 16), stride=2),
        Plain("plain", (16, 32), (InvertedResidualChoices((3, 5), (1,)), GhostChoices((3, 5)))),
        Stack("stage0", (16, 32), (1, 2), (either, either), stride=1),
    )
    space = StagedSpace("ghosts", Shape(8, 8, 3), 3, stages)
    assert_equal_slices(space)
    assert_equal_slices(space.fine(space.decode((1,) * len(space.decisions))), count=1)
    for genotype in space.sample(np.random.default_rng(0), 3).tolist():
        assert compile_table(space, MACS).score(np.array([genotype]))[0] == space.decode(genotype).macs
        proxy = space.with_input(16, 3, 3).proxy(8, 0.5)
        assert proxy.decode(genotype) == scale_down(space.with_input(16, 3, 3).decode(genotype), 8, 0.5)


def test_a_data_set_is_a_function() -> None:
    data = load_data(f"{HERE}.data_set:load_stripes")
    assert (data.name, data.num_classes, data.resolution, len(data.x_train)) == ("stripes", 4, 16, 240)
    with pytest.raises(InvalidInput, match=r"data set .*:nothing. cannot be imported"):
        load_data(f"{HERE}.data_set:nothing")


def test_a_task_is_what_a_data_set_is_for(tmp_path: Path) -> None:
    data = load_data(f"{HERE}.task:load_dark_images")
    assert data.task == Quantile.of(data.y_train) and data.task.kind == "quantile"
    arch = ArchSpec(Shape(8, 8, 1), ((Conv(4, 3, 2),),), Head(), 1)
    result = train(arch, data, TrainingConfig(epochs=8, batch_size=32, optimizer=AdamW(0.02)), tmp_path / "out")
    kind = result.accuracy.kind
    assert kind.metric == "pinball_skill" and metric_of(kind.stored_label()) == "pinball_skill"
    values = network_outputs(arch, result.weights, image_splits(data)[1])  # in the units of the targets
    assert result.accuracy.value > 0.3 and 0.6 < (data.y_test < values).mean() <= 1


def test_a_cost_is_a_sum_over_kernels() -> None:
    table = compile_table(SPACE, LARGE_WINDOWS)
    genotypes = SPACE.sample(np.random.default_rng(0), 64)
    expected = [cost_of(LARGE_WINDOWS, SPACE.decode(genotype)) for genotype in genotypes.tolist()]
    assert table.score(genotypes).tolist() == expected and len(set(expected)) > 3


def test_an_accuracy_model_is_a_regressor() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 2))
    fit = accuracy_model(f"{HERE}.accuracy_model:NearestThree").fit(features, features.sum(1), np.ones(20))
    assert kendall_tau(fit.leave_one_out, features.sum(1)) > 0.5
    assert fit.predict(features[:3])[0].shape == (3,)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in which space, target, data, cost, algorithm and evaluator are all from outside."""
    out = tmp_path_factory.mktemp("runs") / "foreign"
    result = api.search(
        out, space=f"{HERE}.space:SPACE", target=f"{HERE}.target:CHIP", data=f"{HERE}.data_set:load_stripes",
        minimize=[f"{HERE}.cost:LARGE_WINDOWS"], algorithm=f"{HERE}.algorithm:OnePlusN",
        evaluator=f"{HERE}.evaluator:LOG_MACS", trials=40, resolution=96, latency_ms=0.1,
    )  # fmt: skip
    assert result.latency <= 0.1 and result.target == "mychip"
    return out


def test_a_search_of_foreign_members_finds_the_largest_network_within_the_budget(run: Path) -> None:
    found = api.load(run)
    evaluated = found.evaluated
    within = evaluated[evaluated["latency"] <= 0.1]
    assert found.result.macs == within["macs"].max() > evaluated["macs"].min()
    assert found.result.accuracy.kind.how == "logarithm of the MACs, no image seen"
    assert found.result.accuracy.top1 == pytest.approx(1 - 1 / (1 + np.log10(found.result.macs)), abs=1e-3)
    counted = [cost_of(LARGE_WINDOWS, arch) for arch in found.evaluated["arch"]]
    assert found.evaluated["large_windows"].tolist() == counted
    assert not (run / "supernet.safetensors").exists()


def test_it_is_read_again_and_extended(run: Path) -> None:
    before = (run / "best.json").read_bytes()
    api.resume(run)
    assert (run / "best.json").read_bytes() == before
    stored = json.loads((run / "experiment.json").read_text())["request"]
    assert stored["evaluator"] == f"{HERE}.evaluator:LOG_MACS"
    assert len(api.load(run).history) == 40 + 40
    (extended,) = api.resume(run, more_trials=8).values()
    assert extended.accuracy.top1 >= json.loads(before)["accuracy"]["top1"]
    assert len(api.load(run).history) == 40 + 40 + 8


def test_an_exporter_is_a_function(run: Path, tmp_path: Path, out: Callable[..., str]) -> None:
    path = tmp_path / "kernels.csv"
    assert "kernels" in out("export", run, "--format", f"{HERE}.exporter:export", "-o", path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    arch = load_arch(run / "best.json")
    assert [row["name"] for row in rows] == [kernel.name for kernel in arch.kernels]
    assert sum(int(row["macs"]) for row in rows) == arch.macs


def test_a_tracker_takes_the_numbers_of_a_run(run: Path) -> None:
    reporter = tracking([f"{HERE}.tracker:CsvTracker"], run, {"seed": 3})
    assert reporter is not None
    reporter.progress(Progress("edgetpu/coarse", 10, 120, 1.5, 0.25, None))
    reporter.candidate(Evaluation("front", (0, 1), 0.5))
    reporter.candidate(Evaluation("front", (0, 2), None))
    reporter.close()
    lines = (run / "numbers.csv").read_text().splitlines()
    assert lines == [
        "# seed = 3",
        "10,edgetpu-coarse/loss,1.5",
        "10,edgetpu-coarse/top1,0.25",
        "1,front-candidates/top1,0.5",
    ]


def test_the_recipes_of_the_documentation_are_these_files(root: Path) -> None:
    text = (root / "docs" / "extending.md").read_text()
    for name in FILES:
        assert (root / "tests" / "extending" / name).read_text().strip() in text, name


def test_a_space_is_data() -> None:
    assert load("space", SPACES, f"{HERE}.space:SPACE") is SPACE
    assert SPACE.coarse().size() == 2 * 2 * 2 * (3 * 2) * (3 * 3) and SPACE.size() > 10**6


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("--target", "target"), ("--data", "data set"), ("--minimize", "cost"), ("--algorithm", "algorithm"),
     ("--evaluator", "evaluator"), ("--space", "space")],
)  # fmt: skip
def test_what_is_none_of_its_kind_is_one_line(
    flag: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = f"{HERE}.target:CHIP" if flag in ("--space", "--minimize", "--algorithm") else f"{HERE}.space:SPACE"
    flags = [] if flag == "--algorithm" else ["--algorithm", "random"]
    assert main(["search", *flags, flag, wrong, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{kind} '{wrong}'" in error and not (tmp_path / "run").exists()
