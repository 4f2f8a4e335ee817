"""Targets as a data set brings them: which task they are of, told by type and shape, and their checks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput, unknown_name
from nas.tasks.classification import Classification, one_hot_rows
from nas.tasks.multilabel import MultiLabel
from nas.tasks.regression import Regression
from nas.tasks.task import Task

REGRESSIONS = ("regression", "regression-mae", "regression-ccc")
TASKS = ("classification", *REGRESSIONS, "multi-label")
TARGETS_OF = {"classes": "classification", "labels": "multi-label", "numbers": "regression"}  # by what outputs mean
LARGEST_LABEL = 2**31


def check_task(kind: str | None) -> None:
    """Raise `UnknownName` for a task that there is not; None leaves it to the data."""
    if kind is not None and kind not in TASKS:
        raise unknown_name("task", kind, TASKS)


def told_task(what: str, targets: NDArray[Any]) -> str:
    """Return the task of training targets by type and shape; `InvalidInput` where they may be of several.

    Whole numbers [N] are classes, a 0/1 matrix [N, K] is multi-label, floats [N] or [N, K] are regression.
    """
    shape = list(targets.shape)
    if targets.ndim not in (1, 2) or targets.dtype.kind not in "iufb":
        raise InvalidInput(
            f"{what} must be whole numbers of shape [N] for classes, numbers [N] or [N, K] for regression, or 0 and 1 "
            f"[N, K] for several labels, got {targets.dtype} {shape}"
        )
    whole = targets.dtype.kind in "iub"
    if targets.ndim == 1 and whole:
        return "classification"
    if targets.ndim == 2 and targets.shape[1] > 1 and is_binary(targets):
        if one_hot_rows(targets):
            raise InvalidInput(
                f"{what} has exactly one 1 in every row of {targets.shape[1]}: say --task multi-label, or give the "
                "classes as whole numbers [N]"
            )
        return "multi-label"
    if whole or (targets.size and bool((targets == np.rint(targets)).all())):
        raise InvalidInput(
            f"{what} holds whole numbers of the type {targets.dtype} and the shape {shape}: say --task regression, "
            "or --task classification where they are classes"
        )
    return "regression"


def is_binary(targets: NDArray[Any]) -> bool:
    """Return whether all targets are 0 or 1."""
    return bool(np.isin(targets, (0, 1)).all())


def checked_targets(what: str, targets: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return targets as the task `kind` has them: int32 [N], or float32 [N, K]; `what` begins the messages."""
    shape = list(targets.shape)
    if kind == "classification":
        column = targets.ndim == 2 and targets.shape[1] == 1
        labels = targets[:, 0] if column else targets
        if labels.dtype.kind == "f" and labels.size and bool((labels == np.rint(labels)).all()):
            labels = labels.astype(np.int64)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise InvalidInput(f"{what} must be whole numbers of shape [N], got {targets.dtype} {shape}")
        if len(labels) and (labels.min() < 0 or labels.max() >= LARGEST_LABEL):
            raise InvalidInput(
                f"{what} must hold labels from 0 on, got {labels.min()} to {labels.max()}; renumber them"
            )
        return labels.astype(np.int32)
    if targets.ndim not in (1, 2) or targets.dtype.kind not in "iufb" or not targets.size:
        raise InvalidInput(f"{what} must be numbers of shape [N] or [N, K] for {kind}, got {targets.dtype} {shape}")
    numbers = np.array(targets.reshape(len(targets), -1), np.float32, order="C")
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{what} holds NaN or infinite numbers; clean the data first")
    if kind == "multi-label":
        if not is_binary(numbers):
            raise InvalidInput(f"{what} must hold 0 and 1 only for multi-label, got {numbers.min()} to {numbers.max()}")
        empty = np.flatnonzero(numbers.sum(0) == 0)
        if len(empty) == numbers.shape[1]:
            raise InvalidInput(f"{what} holds no label at all: every entry is 0")
    return numbers


def task_of(kind: str, targets: NDArray[Any]) -> Task:
    """Return the task `kind`, one of `TASKS`, of checked training targets."""
    if kind == "classification":
        return Classification()
    if kind == "multi-label":
        return MultiLabel()
    loss: Any = kind.partition("-")[2] or "mse"
    return Regression.of(targets, loss)
