"""Members of one program are stand-alone trainings: one step tightly, an epoch within a tolerance, files, going on."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.nn.network import load_weights, split_statistics
from nas.ops import Shape
from nas.ops.uib import UIBChoices
from nas.space.forms import stack
from nas.supernet.members import SpaceFamily
from nas.training import step as stand_alone
from nas.training.candidates import CandidateTrainings, make_trainings
from nas.training.family import Family
from nas.training.loop import TrainingConfig, TrainingPlan, initial_params
from nas.training.members import MemberProgram, StandAlone, as_members, run_steps
from nas.training.optimizers import RMSProp
from nas.training.step import init_state
from nas.training.trainees import Trained, Trainee
from search_spaces.uib import uib_space
from tests.support.tiny import images

FIRST, OTHER = UIBChoices(((0, 3), (3, 3))), UIBChoices(((0, 0), (3, 3)))
SMALL = uib_space(
    "members", (stack("stage0", (8, 16), (1, 2), FIRST, OTHER),),
    stem=(8,), fused=(8,), expansions=(1.0, 2.0), features=16, hidden=16, input_shape=Shape(8, 8, 3), num_classes=4,
)  # fmt: skip
PROXIES = replace(SMALL, stages=(SMALL.stages[0], SMALL.stages[1].strided(1), SMALL.stages[2])).proxy(8, 1.0)
# Epsilon 1 inside the root: Adam would turn the rounding of gradients that are 0 into whole steps.
CONFIG = TrainingConfig(epochs=2, batch_size=16, optimizer=RMSProp(0.1), seed=3)
SMALLEST = (0,) * len(PROXIES.decisions)
DEEP = PROXIES.decode(tuple(len(decision.options) - 1 for decision in PROXIES.decisions))
SHALLOW = PROXIES.decode(SMALLEST)


def trainings(folder: Path) -> CandidateTrainings:
    return make_trainings([DEEP, SHALLOW], images(), CONFIG, folder, split=(0.2, 0))


@pytest.fixture(scope="module", params=[1, 2], ids=["masked", "buckets"])
def family(request: pytest.FixtureRequest) -> SpaceFamily:
    return SpaceFamily(PROXIES, request.param)


def after(family: Family, plan: TrainingPlan, steps: int) -> dict[str, np.ndarray]:
    """The averaged parameters after some steps as a member of `family`."""
    program = MemberProgram(family, plan.step_config)
    state = program.init_state(plan.arch, CONFIG.seed)
    genotype = jax.device_put(family.genotype(plan.arch))
    state, _ = run_steps(
        program, state, genotype, jnp.asarray(plan.rows(0, steps)), steps, np.uint32(CONFIG.seed), plan.split
    )
    cut = family.cut(plan.arch, family.packing.unpack(jax.device_get(state.average)))
    return {name: np.asarray(value) for name, value in cut.items()}


def logits(plan: TrainingPlan, params: dict[str, np.ndarray]) -> np.ndarray:
    """The logits of a stand-alone network on the first training images, under batch statistics."""
    x = plan.split.inputs(plan.split.x[:32], plan.arch)
    return np.asarray(StandAlone(plan.arch).logits({k: jnp.asarray(v) for k, v in params.items()}, jnp.zeros(0), x))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    trials = trainings(tmp_path_factory.mktemp("plan"))
    return TrainingPlan(DEEP, CONFIG, trials.data, stand_alone.image_splits(trials.data)[0])


@pytest.fixture(scope="module")
def alone(plan: TrainingPlan) -> dict[int, np.ndarray]:
    """The logits of `train_step` on the sliced network, by steps."""
    found = {}
    for steps in (1, 8):
        state = init_state(plan.step_config, split_statistics(initial_params(DEEP, CONFIG.seed, None))[0])
        rows = jnp.asarray(plan.rows(0, steps))
        state, _ = stand_alone.run_steps(plan.step_config, state, rows, steps, CONFIG.seed, plan.split)
        found[steps] = logits(plan, {name: np.asarray(value) for name, value in state.average.items()})
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of logits, in units of the largest logit."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_a_member_takes_the_steps_of_the_stand_alone_training(
    family: SpaceFamily, plan: TrainingPlan, alone: dict[int, np.ndarray]
) -> None:
    assert difference(alone[1], alone[8]) > 0.1
    assert difference(logits(plan, after(family, plan, 1)), alone[1]) < 1e-5
    assert difference(logits(plan, after(family, plan, 8)), alone[8]) < 1e-3  # rounding, grown by eight steps


def test_packed_optimizer_takes_the_steps_of_the_stand_alone_training(
    plan: TrainingPlan, alone: dict[int, np.ndarray]
) -> None:
    assert difference(logits(plan, after(StandAlone(DEEP), plan, 1)), alone[1]) < 1e-4


def test_embedded_weights_are_cut_out_again_and_nothing_else_is_set(family: SpaceFamily) -> None:
    params = split_statistics(initial_params(DEEP, 1, None))[0]
    embedded = family.embedded(DEEP, params)
    cut = family.cut(DEEP, embedded)
    assert cut.keys() == params.keys() and all((cut[name] == np.asarray(params[name])).all() for name in params)
    assert sum(np.count_nonzero(value) for value in embedded.values()) == sum(
        np.count_nonzero(value) for value in params.values()
    )


def files(folder: Path) -> dict[str, bytes]:
    kept = [
        path
        for name in ("curve.jsonl", "int8.jsonl", "weights.safetensors")
        for path in folder.glob(f"trials/*/{name}")
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def train(folder: Path, trainees: list[Trainee], family: Family, group: int = 1, *, int8: bool = True) -> list[Trained]:
    trials = replace(trainings(folder), family=family, int8=int8)
    with as_members(trials, lambda *_: None, group=group) as run:
        return list(run(trainees))


ALL = [Trainee(DEEP.digest, DEEP, 3, 2), Trainee(SHALLOW.digest, SHALLOW, 3, 1), Trainee(DEEP.digest, DEEP, 4, 2)]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("members")
    trained = train(folder, ALL, SpaceFamily(PROXIES))
    assert {(one.trainee, len(one.curve), one.error) for one in trained} == {(one, one.epochs, "") for one in ALL}
    assert all(one.score == in_int8(folder, one.trainee) for one in trained)
    return folder


def in_int8(folder: Path, one: Trainee) -> float | None:
    found = replace(trainings(folder), int8=True).score_in_int8(one.digest, one.epochs, one.seed)
    return found and found.value


def test_members_stop_and_go_on_to_the_same_bytes_in_any_order(at_once: Path, tmp_path: Path) -> None:
    family = SpaceFamily(PROXIES)
    train(tmp_path, [Trainee(DEEP.digest, DEEP, 4, 1), ALL[0]], family, int8=False)  # the scores in int8 are missing
    damaged = next((tmp_path / "trials").glob("*-s4/checkpoints/*"))
    saved = tmp_path / "saved"
    shutil.move(damaged, saved)  # as if killed between curve and checkpoint: the epoch is trained again
    assert {one.trainee for one in train(tmp_path, ALL[::-1], family)} == set(ALL)
    assert files(tmp_path) == files(at_once)
    weights = tmp_path / "trials" / DEEP.digest[:12] / "weights.safetensors"
    assert load_weights(weights, DEEP)[1] == "trained"


def test_a_group_trains_as_its_members_do(at_once: Path, tmp_path: Path) -> None:
    train(tmp_path, ALL, SpaceFamily(PROXIES), group=4)
    assert files(tmp_path).keys() == files(at_once).keys()
    name = f"trials/{DEEP.digest[:12]}-s4/weights.safetensors"
    together, one_by_one = (load_weights(folder / name, DEEP)[0] for folder in (tmp_path, at_once))
    scale = {key: np.abs(value).max() for key, value in one_by_one.items()}
    worst = max(np.abs(together[key] - value).max() / (scale[key] + 0.1) for key, value in one_by_one.items())
    assert worst < 1e-3
    images = len(trainings(tmp_path).data.y_test)
    for one in ALL:  # rounding may take one image across the border of two classes
        assert in_int8(tmp_path, one) == pytest.approx(in_int8(at_once, one), abs=1.01 / images)
