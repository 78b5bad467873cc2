"""The linear step of a unit, without a unit: several steps at once, and some of its states alone."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras.cells.linear import Jacobian, LinearStep

B, H = 2, 3


def draws(seed):
    draw = np.random.default_rng(seed)
    return lambda *shape: tf.constant(draw.normal(size=(*shape, B, H)))


@pytest.mark.parametrize("d", [1, 2])
def test_two_steps_at_once_are_two_steps(d):
    """The same error enters at both, and the current's is their mean."""
    draw = draws(d)
    rows = lambda: tuple(tf.unstack(draw(d)))  # noqa: E731
    step, later, error = Jacobian(tuple(rows() for _ in range(d)), rows(), rows(), draw()), rows(), draw()
    middle, second = step.back(later, error)
    before, first = step.back(middle, error)
    found, current = step.twice().back(later, error)
    np.testing.assert_allclose(found, before, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(current, (first + second) / 2.0, rtol=1e-12, atol=1e-12)


def test_the_first_states_alone_have_no_entry_of_the_others():
    pair, matrix = (1.0, 2.0), ((1.0, 2.0), (3.0, 4.0))
    step = LinearStep(psi=1.0, P=matrix, Q=pair, r=pair, K=matrix, s=pair, reset=pair, K0=matrix).first(1)
    assert all(getattr(step, name) == (1.0,) for name in ("Q", "r", "s", "reset"))
    assert all(getattr(step, name) == ((1.0,),) for name in ("P", "K", "K0"))
