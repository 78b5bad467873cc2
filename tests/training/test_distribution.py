"""Replicas of a strategy, each with a part of the batch, train as one device does with the whole."""

import numpy as np
import pytest

from kernl_keras.keras_version import IS_KERAS_3

from .replicas import CASES, STRATEGIES, elsewhere, run

pytestmark = pytest.mark.slow

QUICK = [f"float64/{case}" for case in ("membrane kernel", "exponential kernel, masks")]
OVERFLOWS = "too large a loss scale"  # in float32
SINGLE = [f"float32/{case}" for case in ("membrane kernel", "every step's error, masks", "rate", OVERFLOWS)]
EVERY = [*(f"float64/{case}" for case in CASES), *SINGLE]
TABLE = {  # what runs: (strategy, what it trains)
    "mirrored": ("mirrored", QUICK),
    "mirrored, all": ("mirrored", [name for name in EVERY if name not in QUICK]),
    "workers": ("workers", [*QUICK, "float64/every step's error, masks", "float64/e-prop, not finite", *SINGLE[:1]]),
}
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}  # of the largest value; float32: some tens of roundings
OF_LOGS = 1e-6  # Keras counts its metrics in single precision


@pytest.fixture(scope="module")
def one_device():
    """`one_device(names)`: what one device makes of them, each of which is trained once."""
    found = {}

    def get(names):
        found.update(run([name for name in names if not any(key.startswith(f"{name}/") for key in found)]))
        return found

    return get


def same(theirs, ours, names):
    """Everything that there is of the cases is the same."""
    for name in names:
        dtype = name.split("/")[0]
        keys = [key for key in ours if key.startswith(f"{name}/")]
        if not IS_KERAS_3 and CASES[name.split("/")[1]].sequences:  # it is Keras' own mean of the replicas' means
            keys.remove(f"{name}/logged loss")
            theirs = {key: value for key, value in theirs.items() if key != f"{name}/logged loss"}
        assert keys and sorted(keys) == sorted(key for key in theirs if key.startswith(f"{name}/"))
        for key in keys:
            what = key.removeprefix(f"{name}/")
            if what == "said":
                assert theirs[key] == ours[key] and bool(ours[key]) == (CASES[name.split("/")[1]].nan is not None)
                continue
            tolerance = max(TOLERANCES[dtype], OF_LOGS if what.split()[0] in ("logged", "tested") else 0.0)
            least = 1.0 if what.endswith("explained_variance") else 0.0  # 1 - F / D^2 may be nearly 0
            scale = np.nanmax(np.abs(ours[key]), initial=least)
            np.testing.assert_allclose(theirs[key], ours[key], rtol=0.0, atol=tolerance * scale, err_msg=key)


@pytest.mark.parametrize("row", TABLE)
def test_as_one_device(row, one_device, tmp_path):
    """Gradients, weights, M, gamma, counters, both optimizers' slots, what fit and evaluate report.

    M's gradient is that of the noise of the whole batch: each replica draws what one device does for its examples.
    """
    strategy, names = TABLE[row]
    try:
        processes = elsewhere(strategy, names, tmp_path)
    except OSError as error:
        pytest.skip(f"no port of the loopback for the workers: {error}")
    ours = one_device(names)
    for found in processes:
        same(found, ours, names)
    assert len(processes) == STRATEGIES[strategy]


def test_there_is_something_to_compare(one_device):
    """Units spike, all gradients are there, what must be clipped is, and what must be skipped."""
    ours = one_device(QUICK)
    for name in QUICK:
        of_it = {key.removeprefix(f"{name}/"): value for key, value in ours.items() if key.startswith(f"{name}/")}
        gradients = [value for key, value in of_it.items() if key.startswith("gradient")]
        assert len(gradients) >= 5 and min(np.abs(gradient).max() for gradient in gradients) > 0.1
        assert of_it["logged sensitivity_loss"] > 1.0 and 0.1 < of_it["logged firing_rate"] < 0.5
        assert of_it["logged weight_gradient_norm"] > 100.0 * 0.02  # the bound of clipping
