"""How integer kernels round: against exact fractions, and the published cases of halves."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.quantisation.kernels import factor_of, sum_of_two

WHOLE = st.integers(-255, 255)
FACTORS = st.floats(2.0**-8, 2.0**7, width=32)


@given(WHOLE, WHOLE, FACTORS, FACTORS)
def test_a_sum_of_two_is_the_real_sum_rounded(x: int, y: int, x_factor: float, y_factor: float) -> None:
    found = float(sum_of_two(jnp.float32(x), jnp.float32(y), np.float32(x_factor), np.float32(y_factor)))
    real = x * Fraction(x_factor) + y * Fraction(y_factor)
    # Factors are rounded to 21 bits of the larger one.
    apart = Fraction(510, 2**21) * Fraction(max(x_factor, y_factor))
    assert abs(Fraction(round(found)) - real) <= Fraction(1, 2) + apart
    assert found == pytest.approx(round(found), abs=1e-2)  # but for the real sum that carries the gradient


def test_halves_of_a_sum_go_up_and_its_gradient_is_that_of_the_real_sum() -> None:
    x, y = jnp.array([1.0, -1.0, 3.0, -3.0]), jnp.zeros(4)
    assert np.rint(sum_of_two(x, y, jnp.float32(0.5), jnp.float32(0.5))).tolist() == [1, 0, 2, -1]
    gradient = jax.grad(lambda x: sum_of_two(x, y, jnp.float32(0.3), jnp.float32(0.7)).sum())(x)
    assert gradient == pytest.approx(0.3)


def test_a_factor_is_rounded_after_each_operation() -> None:
    scale, other, output = 0.1, 0.3, 0.7
    expected = np.float32(np.float32(scale) * np.float32(other)) / np.float32(output)
    assert factor_of(scale, output, other) == expected
    assert factor_of(np.float64(scale), output).dtype == np.float32
