"""The loops written by hand, which the benchmark times beside the layer, compute the same."""

import numpy as np
import pytest

from notebooks.lab.benchmark import by_hand, plan


@pytest.mark.parametrize("rule", plan.BY_HAND)
def test_the_loop_by_hand_gives_what_the_layer_gives(rule):
    sizes = {"batch": 3, "steps": 60, "inputs": 20, "units": 15, "of_rule": rule}
    layer, x, error = by_hand.layer(sizes)
    layer.cell.kernel.assign(4.0 * layer.cell.kernel)  # so that most units spike
    (z, expected), (by_loop, gradients) = (run(layer)(x, error) for run in (by_hand.package, by_hand.by_hand))
    assert np.mean(z) > 0.02
    np.testing.assert_array_equal(by_loop, z)
    for one, other in zip(gradients, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * np.abs(other).max())
