"""Ridge regression: leaving one out needs no refit, awkward inputs are handled, standard errors cover."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from nas.errors import InvalidInput
from nas.search.accuracy.ridge import fit_ridge


def problem(seed: int, rows: int, columns: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns)) * rng.uniform(0.1, 1e6, columns)
    return (
        x,
        x @ (rng.standard_normal(columns) / np.abs(x).max(0)) + rng.standard_normal(rows),
        rng.integers(1, 4, rows),
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 20), columns=st.integers(1, 30))
def test_leave_one_out_equals_refits_without_each_row(seed: int, rows: int, columns: int) -> None:
    x, y, weights = problem(seed, rows, columns)
    fit = fit_ridge(x, y, weights, penalties=np.array([0.7]))
    if not np.isfinite(fit.penalty):
        return
    z = fit.standardiser(x)
    for i in range(rows):
        kept = np.arange(rows) != i
        brute = (
            Ridge(alpha=0.7, solver="svd").fit(z[kept], y[kept], sample_weight=weights[kept]).predict(z[i : i + 1])[0]
        )
        np.testing.assert_allclose(fit.leave_one_out[i], brute, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(fit.without[i], np.average(y[kept], weights=weights[kept]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_penalty_is_that_of_the_least_leave_one_out_error(seed: int) -> None:
    x, y, weights = problem(seed, 12, 5)
    errors = [
        float(weights @ np.square(fit_ridge(x, y, weights, np.array([penalty])).leave_one_out - y))
        for penalty in (0.1, 1.0, 10.0, 1000.0)
    ]
    best = fit_ridge(x, y, weights, np.array([0.1, 1.0, 10.0, 1000.0]))
    assert float(weights @ np.square(best.leave_one_out - y)) <= min(errors) + 1e-9


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
@pytest.mark.parametrize("kind", ["equal labels", "constant column", "collinear", "missing", "no columns"])
def test_awkward_inputs_predict_finite_numbers(rows: int, kind: str) -> None:
    x, y, _ = problem(rows, rows, 3)
    if kind == "equal labels":
        y = np.full(rows, 0.5)
    if kind == "constant column":
        x[:, 0] = 7.0
    if kind == "collinear":
        x[:, 1] = 2 * x[:, 0]
    if kind == "missing":
        x[::2, 2] = np.nan
    if kind == "no columns":
        x = x[:, :0]
    mean, error = fit_ridge(x, y).predict(x)
    assert np.isfinite(mean).all() and not np.isnan(error).any()
    if kind == "equal labels":
        np.testing.assert_allclose(mean, 0.5)


def test_labels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="finite labels"):
        fit_ridge(np.ones((2, 1)), [0.5, np.nan])


def test_standard_errors_cover_new_labels() -> None:
    rng, inside = np.random.default_rng(0), []
    for _ in range(100):
        x = rng.standard_normal((40, 4))
        slope = rng.standard_normal(4)
        y = x @ slope + rng.standard_normal(40)
        mean, error = fit_ridge(x[:20], y[:20]).predict(x[20:])
        inside.append(np.abs(y[20:] - mean) < 1.645 * error)
    assert 0.86 < np.mean(inside) < 0.94  # of 90 %
