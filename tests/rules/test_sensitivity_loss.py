"""F and its closed-form gradients, against the reference and its differences."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.rules import Effect
from kernl_keras.rules.predictor import sensitivity_sums
from kernl_keras.rules.sensitivity_loss import sensitivity_loss

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

    def gradients(self, dtype, scale):
        """F, mean D^2, and the gradients of scale * F by M and gamma."""
        effect = Effect(*(tf.constant(np.swapaxes(x, 0, 1), dtype) for x in (self.effect, self.omega, self.slope)))
        m, gamma = tf.constant(self.m, dtype), tf.constant(self.gamma, dtype)
        with tf.GradientTape() as tape:
            tape.watch((m, gamma))
            loss, variance = sensitivity_loss(m, gamma, sensitivity_sums(m, effect, gamma=True), T * B * H)
            scaled = scale * loss
        return loss, variance, *tape.gradient(scaled, (m, gamma))


@pytest.mark.parametrize("kernels", [1, 2])
def test_closed_forms_are_the_references_and_differences_of_f(kernels):
    """Omega follows gamma in the differences, as it does over a whole sequence."""
    regression = Regression(kernels)
    effect, m, gamma = regression.effect, regression.m, regression.gamma
    expected, *expected_gradients = ref.sensitivity(effect, regression.omega, regression.slope, m)

    np.testing.assert_allclose(expected, np.mean((effect - np.einsum("btri,rki->btk", regression.omega, m)) ** 2))

    def loss(m, gamma):
        return ref.sensitivity(effect, *ref.filtered_noise(regression.xi, regression.gate, gamma, DT), m)[0]

    differences = oracles.difference(lambda m: loss(m, gamma), m), oracles.difference(lambda g: loss(m, g), gamma)
    assert np.abs(differences[1]).min() > 1e-4
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-5)):
        found, variance, *by_parts = regression.gradients(dtype, scale=-3.0)  # the chain rule goes on above
        np.testing.assert_allclose([found, variance], [expected, np.mean(effect**2)], rtol=tolerance)
        for one, other, difference in zip(by_parts, expected_gradients, differences):
            np.testing.assert_allclose(one, -3.0 * other, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(one, -3.0 * difference, rtol=1e-6 + tolerance, atol=1e-8 + tolerance)


def test_long_sums_in_single_precision():
    """A sum that is added up number by number loses a hundredth of two million squares."""
    effect, m = draw(6, 32, 100, 600).astype("float32"), tf.zeros((1, 600, 600))
    omega = tf.zeros((32, 100, 1, 600))
    sums = tf.function(lambda: sensitivity_sums(m, Effect(tf.constant(effect), omega, omega)), jit_compile=True)()
    np.testing.assert_allclose([sums.squares, sums.effect_squares], np.sum(effect.astype("float64") ** 2), rtol=1e-6)
