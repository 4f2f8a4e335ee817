"""A small synthetic run folder, with the files and columns of a real one, for tests of what reads it."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.target import load_target, target_names
from nas.arch import ArchSpec, save_arch
from nas.records.results import SUPERNET, AccuracyKind, Result, Score, load_result, save_result, trained_for
from nas.search.pareto import non_dominated
from nas.space.staged import StagedSpace
from search_spaces.uib import uib_space, uib_stage

TARGET = "pixel8-edgetpu"
COLUMNS = ("digest", "spec", "latency", "latency_unit", "top1", "standard_error", "macs", "params", "accuracy_kind")
SPACE = uib_space(
    "tiny",
    (uib_stage(0, (48, 80), (1, 2)), uib_stage(1, (96, 160), (1, 2, 3))),
    fused=(48,),
    expansions=(2.0,),
    num_classes=10,
)
MODEL = load_target(TARGET).model()
VALIDATION = 500  # images


def kind(how: str = SUPERNET, width: float = 0.5) -> AccuracyKind:
    """Return the kind of accuracy of the run: that of a proxy."""
    return AccuracyKind("digits", "0" * 64, 16, width, how)


def accuracy_of(arch: ArchSpec, rng: np.random.Generator) -> Score:
    """Return a made-up accuracy that grows with size, a multiple of 1 / `VALIDATION`."""
    top1 = 0.97 - 0.25 * (1e8 / arch.macs) ** 0.7 + rng.normal(0, 0.01)
    top1 = round(float(np.clip(top1, 0, 1)) * VALIDATION) / VALIDATION
    return Score(top1, float(np.sqrt(top1 * (1 - top1) / VALIDATION)), VALIDATION, kind())


def result_of(arch: ArchSpec, genotype: tuple[int, ...], accuracy: Score, **changes: Any) -> Result:
    """Return a result with true costs."""
    body: dict[str, Any] = {
        "space": SPACE.name,
        "target": TARGET,
        "latency_model": "default",
        "latency": MODEL.predict_ms(arch),
        "latency_unit": "ms",
        "latency_budget": MODEL.predict_ms(arch) * 1.004,
        "other_latencies_ms": {t: load_target(t).model().predict_ms(arch) for t in target_names() if t != TARGET},
        "macs": arch.macs,
        "params": arch.params,
        "peak_activation_bytes": arch.peak_activation_elements,
        "weight_bytes": arch.params,
        "accuracy": accuracy,
        "supernet_accuracy": accuracy,
        "proxy_resolution": 16,
        "proxy_width": 0.5,
        "converged": False,
        "policy_entropy": 0.41,
        "genotype": genotype,
        "seed": 0,
        "notes": ("the digits are real, and small",),
    }
    return Result(arch=arch, **(body | changes))


def make_run(run: Path, *, seed: int = 0, finished: bool = True, count: int = 40, **changes: Any) -> Path:
    """Write a run folder and return it; one that is not `finished` was killed early in the fine stage."""
    rng = np.random.default_rng(seed)
    (run / "specs").mkdir(parents=True)
    settings = {"space": "tiny", "target": TARGET, "ridge_point": None, "peak_gmacs_per_s": None, "seed": seed}
    settings |= {"latency_model": "default", "data": "digits", "preset": "quick", "resolution": 224}
    (run / "experiment.json").write_text(json.dumps({"schema": "nas.experiment", "version": 1, "settings": settings}))
    best = tuple(int(i) for i in SPACE.sample(rng, 1)[0])
    arch = SPACE.decode(best)
    fine = SPACE.fine(arch)
    stages: list[tuple[str, StagedSpace, int]] = [("coarse", SPACE.coarse(), 12), ("fine", fine, 12 if finished else 3)]
    lines = [line for name, space, length in stages for line in journal_of(name, space, length, rng)]
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    coarse = SPACE.coarse().sample(rng, 1)[0]
    shape = SPACE.coarse().decode(coarse)
    save_result(result_of(shape, tuple(map(int, coarse)), accuracy_of(shape, rng), **changes), run / "coarse.json")
    if not finished:
        with (run / "journal.jsonl").open("a") as file:
            file.write('{"stage": "fine", "st')  # what a kill leaves
        return run
    accuracy = accuracy_of(arch, rng)
    save_result(result_of(arch, best, accuracy, **changes), run / "best.json")
    specs = {spec.digest: spec for spec in (SPACE.decode(g) for g in SPACE.sample(rng, count))} | {arch.digest: arch}
    write_evaluated(run, list(specs.values()), arch, accuracy, rng)
    return run


ALONE = trained_for(epochs=4)


def add_finalists(run: Path, *, count: int = 3) -> Path:
    """Rewrite a finished run as one that trained finalists alone: `count` for 4 epochs, and one for 1 epoch only.

    The result is the best of these, and the worst in the supernet.
    """
    best = load_result(run / "best.json")
    known = Score(0.9, float(np.sqrt(0.9 * 0.1 / VALIDATION)), VALIDATION, kind(ALONE))
    shared = replace(best.accuracy, value=0.1)
    save_result(replace(best, accuracy=known, supernet_accuracy=shared), run / "best.json")
    others = (SPACE.decode(genotype) for genotype in SPACE.sample(np.random.default_rng(9), 9))
    archs = list(dict.fromkeys([best.arch, *others]))[: count + 1]
    (run / "specs").mkdir(exist_ok=True)
    rows: list[list[Any]] = []
    for number, arch in enumerate(archs):
        spec = f"specs/{arch.digest[:12]}.json"
        save_arch(arch, run / spec)
        rows.append(["coarse", arch.digest, spec, 1, 0.95, VALIDATION, float("nan")])
        if number < count:
            rows.append(["coarse", arch.digest, spec, 4, 0.9 - 0.01 * number, VALIDATION, float("nan")])
    rows.append(["fine", best.arch.digest, f"specs/{best.arch.digest[:12]}.json", 4, 0.9, VALIDATION, 0.1])
    write_csv(run / "finalists.csv", ["stage", "digest", "spec", "epochs", "top1", "pictures", "supernet_top1"], rows)
    return run


def write_evaluated(run: Path, specs: list[ArchSpec], best: ArchSpec, accuracy: Score, rng: Any) -> None:
    """Write front.csv, evaluated.csv and the specs of the front."""
    found = [accuracy if spec == best else accuracy_of(spec, rng) for spec in specs]
    latencies = [MODEL.predict_ms(spec) for spec in specs]
    front = non_dominated(np.array([latencies, [a.top1 for a in found]]).T, (True, False))
    rows = []
    for spec, latency, one, on_front in zip(specs, latencies, found, front, strict=True):
        path = f"specs/{spec.digest[:12]}.json" if on_front else ""
        if on_front:
            save_arch(spec, run / path)
        costs = [spec.macs, spec.params, one.kind.stored_label(), on_front]
        rows.append([spec.digest, path, latency, "ms", one.top1, one.standard_error, *costs])
    rows.sort(key=lambda row: row[2])
    origins = ["argmax" if row[0] == best.digest else "policy" for row in rows]
    everything = [[*row, origin] for row, origin in zip(rows, origins, strict=True)]
    write_csv(run / "evaluated.csv", [*COLUMNS, "on_front", "origin"], everything)
    write_csv(run / "front.csv", list(COLUMNS), [row[:9] for row in rows if row[9]])


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """Write rows of values as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def journal_of(name: str, space: StagedSpace, records: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return the journal of one stage in which the policy gradually prefers one option."""
    decisions = [{"name": d.name, "options": [list(o) if isinstance(o, tuple) else o for o in d.options]}
                 for d in space.decisions]  # fmt: skip
    expected = space.sample(rng, 1)[0]
    middle = MODEL.predict_ms(space.decode(expected))
    lines: list[dict[str, Any]] = [
        {"stage": name, "decisions": decisions, "target_latency": middle, "latency_unit": "ms"}
    ]
    for record in range(records):
        done = (record + 1) / 12
        policy = [softened(len(d.options), int(w), done, rng) for d, w in zip(space.decisions, expected, strict=True)]
        argmax = space.canonical(np.array([[int(np.argmax(row)) for row in policy]]))[0]
        lines.append(
            {
                "stage": name, "step": 20 * (record + 1), "steps": 240,
                "loss": 2.3 * (1 - 0.8 * done), "train_top1": 0.1 + 0.8 * done, "entropy": 1 - 0.7 * done, "beta": 0.1,
                "sampled_latency": middle * (1.1 - 0.1 * done) if record else None, "argmax": [int(i) for i in argmax],
                "argmax_latency": MODEL.predict_ms(space.decode(argmax)), "argmax_reward_top1": 0.1 + 0.75 * done,
                "policy": [row.tolist() for row in policy],
            }
        )  # fmt: skip
    return lines


def softened(count: int, expected: int, done: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return probabilities [count] that lean towards the option number `expected`, fully at `done` = 1."""
    logits = rng.normal(0, 0.2, count) + 3 * done * np.eye(count)[expected]
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum())


def trained_alone(accuracy: Score, **changes: Any) -> dict[str, Any]:
    """Return the JSON form of an accuracy, with some fields of its kind replaced."""
    body = accuracy.to_dict()
    return body | {"kind": body["kind"] | changes}
