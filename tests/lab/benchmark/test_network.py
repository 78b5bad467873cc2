"""The network that the benchmark times: pieces in one call are those of several calls."""

import numpy as np
import pytest

from notebooks.lab.benchmark import network

SIZES = {"batch": 2, "steps": 60, "inputs": 9, "units": 4, "outputs": 10, "threads": 1, "pieces": 3}


@pytest.mark.slow
def test_pieces_in_one_call_learn_what_they_learn_in_several(monkeypatch):
    monkeypatch.setattr(network.tf.config.threading, "set_intra_op_parallelism_threads", lambda count: None)
    monkeypatch.setattr(network.tf.config.threading, "set_inter_op_parallelism_threads", lambda count: None)
    made, build_model = [], network.build_model
    monkeypatch.setattr(network, "build_model", lambda settings: made.append(build_model(settings)) or made[-1])
    for one_call in (False, True):
        step, _ = network.build({**SIZES, "rule": "eprop", "jit_compile": False, "one_call": one_call})
        assert np.isfinite(float(step()))
    several, at_once = made
    count = SIZES["pieces"] * several.sensitivity_every
    assert [int(np.asarray(model.optimizer.iterations)) for model in made] == [count, count]
    for one, other in zip(several.trainable_variables, at_once.trainable_variables):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
