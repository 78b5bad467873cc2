"""F and its closed-form gradients, against automatic differentiation, differences and the reference."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.rules.exponential import ExponentialPredictor
from kernl_keras.rules.perturbed_pass import PerturbedState
from kernl_keras.rules.sensitivity import Effect, sensitivity_loss, sensitivity_sums

from ..reference import oracles
from ..reference.cases import draw

B, T, H, DT = 3, 5, 4, 0.7


class Regression:
    """D, xi, M and gamma; Omega and Gamma as the loops of the reference make them."""

    def __init__(self, kernels):
        self.xi, self.effect = draw(1, B, T, H), draw(2, B, T, H)
        self.gate = (draw(3, B, T, H) > -0.5).astype("float64")
        self.m, self.gamma = draw(4, kernels, H, H), 0.3 * draw(5, kernels, H) ** 2
        self.omega, self.slope = ref.filtered_noise(self.xi, self.gate, self.gamma, DT)

    def effects(self, dtype="float64"):
        return Effect(*(tf.constant(np.swapaxes(x, 0, 1), dtype) for x in (self.effect, self.omega, self.slope)))


def gradients(regression, dtype="float64", scale=1.0):
    m, gamma = tf.constant(regression.m, dtype), tf.constant(regression.gamma, dtype)
    with tf.GradientTape() as tape:
        tape.watch((m, gamma))
        loss, variance = sensitivity_loss(m, gamma, sensitivity_sums(m, regression.effects(dtype)), T * B * H)
        scaled = scale * loss
    return loss, variance, tape.gradient(scaled, (m, gamma))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("kernels", [1, 2])
def test_closed_forms_are_the_references(kernels, dtype, tolerance):
    regression = Regression(kernels)
    loss, variance, (of_m, of_gamma) = gradients(regression, dtype)
    expected, m_expected, gamma_expected = ref.sensitivity(
        regression.effect, regression.omega, regression.slope, regression.m
    )
    np.testing.assert_allclose(loss, expected, rtol=tolerance)
    np.testing.assert_allclose(variance, np.mean(regression.effect**2), rtol=tolerance)
    np.testing.assert_allclose(of_m, m_expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(of_gamma, gamma_expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernels", [1, 2])
def test_closed_forms_are_differences_of_the_loss(kernels):
    """Omega follows gamma here, as it does over a whole sequence."""
    regression = Regression(kernels)

    def loss(m, gamma):
        omega, slope = ref.filtered_noise(regression.xi, regression.gate, gamma, DT)
        return ref.sensitivity(regression.effect, omega, slope, m)[0]

    _, _, (of_m, of_gamma) = gradients(regression)
    by_m = oracles.difference(lambda m: loss(m, regression.gamma), regression.m)
    by_gamma = oracles.difference(lambda gamma: loss(regression.m, gamma), regression.gamma)
    np.testing.assert_allclose(of_m, by_m, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(of_gamma, by_gamma, rtol=1e-6, atol=1e-8)
    assert np.abs(by_gamma).min() > 1e-4


def test_the_chain_rule_goes_on_above():
    regression = Regression(2)
    for once, twice in zip(gradients(regression)[2], gradients(regression, scale=-3.0)[2]):
        np.testing.assert_allclose(twice, -3.0 * once, rtol=1e-12)


def before(kernels):
    """A `PerturbedState` of zeros."""
    return PerturbedState(None, *(tf.zeros((B, kernels, H), tf.float64) for _ in range(2)))


@pytest.mark.parametrize("kernels", [1, 2])
def test_sums_of_blocks_add_up(kernels):
    regression = Regression(kernels)
    m, whole = tf.constant(regression.m), regression.effects()
    predictor = ExponentialPredictor(m, tf.constant(regression.gamma), DT)
    total = predictor.start(before(kernels))
    for block in (slice(0, 2), slice(2, 3), slice(3, T)):
        total = predictor.accumulate(total, Effect(*(field[block] for field in whole)))
    for one, other in zip(predictor.sums(total, None, None), sensitivity_sums(m, whole)):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_long_sums_in_single_precision():
    """A sum that is added up number by number loses a hundredth of two million squares."""
    effect, m = draw(6, 32, 100, 600).astype("float32"), tf.zeros((1, 600, 600))
    omega = tf.zeros((32, 100, 1, 600))
    sums = tf.function(lambda: sensitivity_sums(m, Effect(tf.constant(effect), omega, omega)), jit_compile=True)()
    exact = np.sum(effect.astype("float64") ** 2)
    np.testing.assert_allclose(sums.squares, exact, rtol=1e-6)
    np.testing.assert_allclose(sums.effect_squares, exact, rtol=1e-6)


def test_the_last_step_alone():
    regression = Regression(1)
    m, whole = tf.constant(regression.m), regression.effects()
    predictor = ExponentialPredictor(m, tf.constant(regression.gamma), DT, last=True)
    total = predictor.start(before(1))
    for block in (slice(0, 3), slice(3, T)):
        total = predictor.accumulate(total, Effect(*(field[block] for field in whole)))
    sums = predictor.sums(total, None, None)
    loss, variance = sensitivity_loss(m, tf.constant(regression.gamma), sums, B * H)
    residual = regression.effect[:, -1] - regression.omega[:, -1, 0] @ regression.m[0].T
    np.testing.assert_allclose(loss, np.mean(residual**2), rtol=1e-9)
    np.testing.assert_allclose(variance, np.mean(regression.effect[:, -1] ** 2), rtol=1e-9)


def test_regression_finds_m_and_gamma():
    """Effects that are exactly Omega M^T: at the true M and gamma F = 0 and stays there; away from it F points back."""
    regression = Regression(1)
    regression.effect = np.einsum("btri,rki->btk", regression.omega, regression.m)
    loss, variance, (of_m, of_gamma) = gradients(regression)
    assert loss < 1e-20 < variance
    np.testing.assert_allclose(of_m, 0.0, atol=1e-12)
    np.testing.assert_allclose(of_gamma, 0.0, atol=1e-12)
    regression.m = regression.m + 0.1
    _, _, (of_m, _) = gradients(regression)
    assert np.sum(of_m * 0.1) > 0.0
