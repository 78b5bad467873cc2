"""What cells, readouts and encoders say of an argument that does not fit; of each kind of mistake once.

`tests/badinput` asks for an error of every argument, and `test_unit` for what is said of a unit of one's own.
"""

import types

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.units import Quadratic

NOWHERE = {"class_name": "function", "config": "f", "module": "nowhere", "registered_name": "nowhere>f"}

ROWS = [
    (kk.LIFCell, dict(units=0), "units must be an integer >= 1; received 0"),
    (kk.LIFCell, dict(tau_s=[1.0, 2.0]), r"tau_s must have one value a unit \(4\); received 2 values"),
    (kk.LIFCell, dict(tau_m="20"), "tau_m must be a number, a list or an initializer; received '20'"),
    (kk.LIFCell, dict(tau_m=[1.0, 2.0, 0.0, 3.0]), r"tau_m must be > 0; received 0\.0"),
    (kk.LIFCell, dict(tau_m=True), "tau_m must be a finite number; received True"),
    (kk.LIFCell, dict(tau_ref=-1.0), "tau_ref must be >= 0; received -1.0"),
    (kk.LIFCell, dict(base_threshold=0), "base_threshold must be > 0; received 0"),
    (kk.LIFCell, dict(adaptation_strength=[1.0, 2.0, 3.0, -4.0]), "adaptation_strength must be >= 0; received -4"),
    (kk.LIFCell, dict(reset="none"), r"reset must be one of \['hard', 'soft'\]; received 'none'"),
    *(
        (kk.LIFCell, {"discretization": "euler", name: 0.5}, f"{name} must be >= dt = 1 ms for discret.*; received 0.5")
        for name in ("tau_m", "tau_s", "tau_a")
    ),
    (kk.ResonatorCell, dict(period=2.0), "period must be > 2 dt = 2 ms; received 2.0"),
    (kk.ResonatorCell, dict(period=[9.0, 9.0, 0.9, 9.0], dt=0.5), r"period must be > 2 dt = 1 ms; received \[9.0, 9.0"),
    (kk.LeakyRNNCell, dict(tau=None, period=9.0), "needs a tau and discretization='exponential'; received tau=None"),
    (kk.LeakyRNNCell, dict(tau=9.0, period=1.0), "period must be > 2 dt = 2 ms; received 1.0"),
    (Quadratic, dict(sharpness="steep"), "sharpness must be"),
    (Quadratic, dict(tau_w=-1.0), "tau_w must be > 0; received -1.0"),
    (Quadratic, dict(learn="tau"), r"learn must be names out of \['tau_m', 'tau_w', 'sharpness', 'jump'\]"),
    # Encoders
    (kk.SpikeEncoder, dict(units=5, code="threshold"), "units must be even for code='threshold', .*; received 5"),
    (kk.SpikeEncoder, dict(units=5, code="delta"), "even for code='delta', half up and half down; received 5"),
    (kk.SpikeEncoder, dict(units=1, code="population"), "units must be >= 2 for code='population'; received 1"),
    (kk.SpikeEncoder, dict(delta=0.5), "delta must be None unless code='delta'; received delta=0.5 and code='bern"),
    (kk.SpikeEncoder, dict(code="delta", period=5), "period must be None unless code='latency'; received period=5"),
    # Random feedback
    (kk.Readout, dict(feedback_initializer="ones"), "must be None unless feedback='random'; received feedback='symm"),
    (kk.Readout, dict(feedback="random", feedback_initializer="unknown"), "feedback_initializer must be one of Keras'"),
    # Connections
    (kk.LIFCell, dict(recurrent_connectivity=1.5), "recurrent_connectivity must be >= 0 and <= 1; received 1.5"),
    (kk.LIFCell, dict(recurrent_connectivity="sparse"), "must be a probability or a matrix .*received 'sparse'"),
    (kk.LIFCell, dict(recurrent_connectivity=np.ones((3, 4))), r"have shape \(4, 4\).*received shape \(3, 4\)"),
    (kk.LIFCell, dict(recurrent_connectivity=[[True], [True, False]]), r"\(4, 4\).*received rows of several lengths"),
    (kk.LIFCell, dict(recurrent_connectivity=0.5 * np.ones((4, 4))), "must be a matrix of True and False"),
    (kk.LIFCell, dict(excitatory=[1, 0, 1, 0]), "excitatory must be a share of the units or a list of True and False"),
    (kk.LIFCell, dict(excitatory=[True]), r"excitatory must have one value a unit \(4\); received 1 values"),
    # Constants that learn
    (kk.LIFCell, dict(learn="tau"), r"learn must be names out of \['tau_m', .*; received 'tau'"),
    (kk.LIFCell, dict(learn={"tau_m": True}), "learn must be names out of"),
    (kk.LIFCell, dict(tau_s=None, learn="tau_s"), "in use; received 'tau_s', with tau_s=None"),
    (kk.LIFCell, dict(learn="adaptation_strength"), "in use; received 'adaptation_strength', with .*=0.0"),
    (kk.LeakyRNNCell, dict(learn=["period"]), "in use; received 'period', with period=None"),
    (kk.ReadoutCell, dict(tau_out=None, learn="tau_out"), "in use; received 'tau_out'"),
    (kk.LIFCell, dict(tau_m=1e7, learn="tau_m"), "tau_m must be from 0.1 to 100000 where it learns; received 1"),
    (kk.ResonatorCell, dict(period=2.001, learn="period"), "period must be from 2.01 to 100000"),
    (kk.LIFCell, dict(base_threshold=1e-4, learn="base_threshold"), "from 0.001 to 1000"),
    # Surrogates
    (kk.LIFCell, dict(surrogate="box"), r"be one of \['arctan', .*\], or a function f\(u\); received 'box'"),
    (kk.LIFCell, dict(surrogate=types.SimpleNamespace), "surrogate must be one of .*, or a function f.*; received <cl"),
    (kk.LIFCell, dict(surrogate=3.0), "surrogate must be one of .*; received 3.0"),
    (kk.LIFCell, dict(surrogate={"class_name": "nothing"}), "must be one of .*; received {'class_name': 'nothing'}"),
    (kk.LIFCell, dict(surrogate=NOWHERE), "must be a configuration that Keras can load; received {'class_name'"),
    (kk.LIFCell, dict(surrogate=lambda u: u[..., 0]), "must be a function of a tensor u .* to a slope of the same sh"),
    (kk.LIFCell, dict(surrogate=lambda u: u > 0.0), "must be a function .* and dtype, in Tensor.*, which returned"),
    (kk.LIFCell, dict(surrogate=lambda u: 1.0), r"must be a function .* which returned <tf.Tensor .* shape=\(\)"),
    (kk.LIFCell, dict(surrogate=lambda: 1.0), "must be a function .* which raised TypeError"),
    (kk.LIFCell, dict(surrogate=lambda u: u.numpy()), "must be a function .*, in TensorFlow; received .* raised"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), ROWS, ids=[message[:40] for *_, message in ROWS])
def test_of_an_argument(kind, settings, message):
    with pytest.raises((ValueError, NotImplementedError), match=message):
        kind(**{"units": 4, **settings}).build((None, 3))


@pytest.mark.parametrize(
    ("cell", "shape", "message"),
    [
        (kk.LIFCell(4), (None, None), r"inputs must have a known last axis; received shape \(None, None\)"),
        (kk.InputSpikeCell(4), (5, 3), r"inputs must have 1 channel or units=4; received shape \(5, 3\)"),
        (kk.ContextCell(), (5, 3), r"inputs must have 1 channel, which is counted; received shape \(5, 3\)"),
    ],
)
def test_of_the_number_of_inputs(cell, shape, message):
    with pytest.raises(ValueError, match=message):
        cell.build(shape)


@pytest.mark.slow
def test_a_surrogate_that_is_not_registered_trains_but_cannot_be_saved(tmp_path):
    inputs = keras.Input((6, 3))
    for surrogate in (lambda u: 1.0 - u, types.MethodType(lambda self, u: u, "self")):
        model = kk.Model(inputs, kk.RNN(kk.LIFCell(4, surrogate=surrogate), rule="eprop")(inputs))
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(np.ones((2, 6, 3)), np.ones((2, 6, 4)), verbose=0)
        with pytest.raises(ValueError, match="surrogate must be registered with .*register_keras_ser.*; received <"):
            model.save(tmp_path / "model.keras")
