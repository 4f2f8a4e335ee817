"""A run folder as data frames: result, front, all evaluated networks, and history, each row with its spec."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import digits
from typing import Any

import numpy as np
import pandas as pd

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput
from nas.ops import LogMel
from nas.protocols import Genotype
from nas.records.experiment import read_experiment
from nas.records.journal import read_journal
from nas.records.picks import Picks, load_picks
from nas.records.results import Result, load_result, result_of_run
from nas.records.tables import frame_of
from nas.records.verdict import Verdict, load_verdict
from nas.registry import SPACES, load
from nas.report.recomputed import as_predicted_now
from nas.runs.front_end import front_end_of
from nas.runs.settings import SearchConfig
from nas.runs.sources import without
from nas.space.genotypes import embedding
from nas.space.staged import StagedSpace

Decoder = Callable[[Genotype], ArchSpec]
STEP_COLUMNS = (
    "loss", "train_top1", "entropy", "beta", "sampled_latency", "argmax_latency", "argmax_reward_top1",
)  # fmt: skip


@dataclass(frozen=True)
class RunData:
    """The data of a finished run; costs in `result` are those that the model of its target predicts now.

    `front` and `evaluated` are front.csv and evaluated.csv with a column `arch` (an `ArchSpec` per row); the front of
    a search for a whole one has a column `latency_budget`. `history` has
    a row per report of the controller (stage, step, the argmax architecture and its numbers), or per trial of a search
    over a supernet trained once (stage, trial, arch, top1), in order. `picks` has what is as good as the result within
    the noise, `verdict` the comparison with the baseline; None where the run has none.
    """

    folder: Path
    result: Result
    front: pd.DataFrame
    evaluated: pd.DataFrame
    history: pd.DataFrame
    picks: Picks | None = None
    verdict: Verdict | None = None


def load_run(folder: Path) -> RunData:
    """Return the data of a finished run of one target, or of one target's folder in a run of several.

    `InvalidInput` where the folder is no run, has not finished, or holds the results of several targets.
    """
    result = as_predicted_now(result_of_run(folder), read_experiment(folder))
    space = space_of_run(folder, result)
    own = pd.DataFrame(list(_history(folder, space)))
    return RunData(
        folder, result, _table(folder, "front.csv"), _evaluated(folder, space, own), own, load_picks(folder),
        load_verdict(folder),
    )  # fmt: skip


def space_of_run(folder: Path, result: Result) -> StagedSpace:
    """Return the space that the run searched, of target networks."""
    config = SearchConfig.from_dict(read_experiment(folder).get("settings"))
    published: StagedSpace = load("space", SPACES, config.space)
    shape, (first, *_) = result.arch.input_shape, (op for stage in result.arch.stages for op in stage)
    if (front_end := front_end_of(config, first.sample_rate if isinstance(first, LogMel) else None)) is not None:
        published = front_end.before(published)
    whole = published.with_input(shape.size, shape.channels, result.arch.num_classes, config.drop_strides)
    return without(whole, config.left_out)


def _table(folder: Path, name: str) -> pd.DataFrame:
    """Return a CSV of networks with the specs beside it; the universal network of several targets has no such file."""
    path = folder / name
    if not path.exists():
        return pd.DataFrame()
    table = frame_of(path, dtype={"digest": str, "spec": str}, keep_default_na=False, na_values={"latency": [""]})
    archs = [load_arch(folder / spec) if spec else None for spec in table["spec"]]
    return table.assign(arch=pd.Series(archs, table.index, dtype=object))


def _evaluated(folder: Path, space: StagedSpace, history: pd.DataFrame) -> pd.DataFrame:
    """Return evaluated.csv; specs that have no file of their own come from the journal, by digest, or the genotype."""
    table = _table(folder, "evaluated.csv")
    if table.empty:
        return table
    known = {arch.digest: arch for arch in _candidates(folder, space)}
    known |= {arch.digest: arch for arch in history.get("arch", ())}
    genotypes = table.get("genotype", pd.Series("", table.index))
    rows = zip(table["digest"], table["arch"], genotypes, strict=True)
    archs = [arch or known.get(digest) or of_genotype(space, digest, genotype) for digest, arch, genotype in rows]
    return table.assign(arch=pd.Series(archs, table.index, dtype=object))


def of_genotype(space: StagedSpace, digest: str, genotype: str) -> ArchSpec | None:
    """Return the architecture of a row, evaluated for another target; None where the row was altered."""
    options = [int(option) for option in str(genotype).split() if option.isdecimal() and len(option) < 9]
    arch = space.decode(options) if len(options) == len(space.decisions) else None
    return arch if arch and arch.digest == digest else None


def _stages(folder: Path, space: StagedSpace) -> dict[str, Decoder]:
    """Return for each stage of the folder's journal how its genotypes decode."""
    coarse = space.coarse()
    decoders: dict[str, Decoder] = {"coarse": coarse.decode, "coarse pool": coarse.decode}
    if (folder / "coarse.json").exists():
        fine = space.fine(load_result(folder / "coarse.json").arch)
        return decoders | {"fine": fine.decode, "front": fine.decode}
    return decoders | {"whole": space.decode, "front": space.decode}  # of a search in one stage


def _records(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the journal of a run, and of one of several targets that of the run with the prefix of its stages."""
    if (folder / "journal.jsonl").exists():
        return read_journal(folder / "journal.jsonl")[0], ""
    return read_journal(folder.resolve().parent / "journal.jsonl")[0], f"{folder.resolve().name}/"


def _candidates(folder: Path, space: StagedSpace) -> Iterator[ArchSpec]:
    """Yield the architectures that a joint search evaluated after its stages."""
    decoders = _stages(folder, space)
    for record in _records(folder)[0]:
        if "genotype" in record and record["stage"] in decoders:
            yield decoders[record["stage"]](record["genotype"])


def _history(folder: Path, space: StagedSpace) -> Iterator[dict[str, Any]]:
    """Yield the rows of `RunData.history`, in the order of the journal."""
    records, prefix = _records(folder)
    decoders, trial = _stages(folder, space), 0
    whole = {name: _embedded(space, decode) for name, decode in _views(folder, space).items()}
    for record in records:
        stage = str(record.get("stage", ""))
        if "argmax" in record and stage in decoders:
            shown = {name: record.get(name) for name in STEP_COLUMNS}
            yield {"stage": stage, "step": record["step"], "arch": decoders[stage](record["argmax"]), **shown}
        if "asked" in record and stage.startswith(prefix):
            name = stage.rpartition("/")[2].rstrip(digits)  # that of a front ends with the number of its budget
            for genotype, top1 in zip(record["asked"], record["accuracy"], strict=True):
                yield {"stage": stage, "trial": trial, "arch": whole[name](tuple(genotype)), "top1": top1}
                trial += 1


def _views(folder: Path, space: StagedSpace) -> dict[str, StagedSpace]:
    """Return the views of the space that the stages of a search over a supernet trained once ask in."""
    views = {"coarse": space.coarse(), "whole": space, "chosen": space, "ends": space}
    if (folder / "coarse.json").exists():
        views["fine"] = space.fine(load_result(folder / "coarse.json").arch)
    return views


def _embedded(space: StagedSpace, view: StagedSpace) -> Decoder:
    """Return the function from a genotype of `view` to the architecture of the whole space."""
    embed, count = embedding(space, view), len(view.decisions)

    def decode(genotype: Genotype) -> ArchSpec:
        if len(genotype) != count:
            raise InvalidInput(f"a genotype of the journal has {len(genotype)} decisions, not {count}: it was altered")
        return space.decode(tuple(embed(np.array([genotype], np.int32))[0].tolist()))

    return decode
