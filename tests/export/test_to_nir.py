"""Graphs of NIR, written to a file, read and run by a NumPy executor of NIR's own definitions: the same spikes."""

import sys

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.keras_version import keras

from ..reference.nir_executor import run
from ..reference.tools import digits

pytestmark = pytest.mark.slow

nir = pytest.importorskip("nir", reason="graphs of NIR need the package nir")

B, T, I, H, O = 5, 26, 29, 8, 3  # noqa: E741
TAUS = [4.0, 6.0, 9.0, 13.0, 18.0, 24.0, 31.0, 39.0]
CELLS = {
    "hard": dict(tau_s=None),
    "hard, synapses": dict(tau_s=4.0),
    "soft": dict(tau_s=None, reset="soft"),
    "soft, synapses": dict(reset="soft", tau_s=TAUS),
    "euler": dict(discretization="euler", dt=0.5),
    "each its own": dict(
        tau_m=TAUS, resistance=[0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.5], base_threshold=0.7, reset_potential=-0.4,
        tau_ref=0.9, self_connections=True, use_bias=True,
        bias_initializer=keras.initializers.RandomNormal(stddev=0.2, seed=7),
    ),
    "drawn": dict(
        tau_m=kk.LogUniform(3, 40, seed=1), tau_s=kk.LogUniform(2, 9, seed=2), reset="soft", use_bias=True,
        resistance=None,
    ),
}  # fmt: skip


def cell(**settings):
    """Units without a refractory time, in double precision: a rounding that moves a spike is next to impossible."""
    given = {"tau_ref": 0.0, "recurrent_gain": 2.0, "dtype": "float64"}
    initializers = {
        name: keras.initializers.RandomNormal(stddev=std, seed=seed)
        for name, std, seed in (("kernel_initializer", 3.0, 3), ("recurrent_initializer", 5.0, 4))
    }
    return kk.LIFCell(H, **{**given, **initializers, **settings})


def read_back(graph, path):
    nir.write(path, graph)
    return nir.read(path)


def spikes_of(made, layer):
    """The spikes of a layer, whatever the nodes that send them."""
    (name,) = {f"{layer}_units/lif", f"{layer}_units/threshold"} & set(made)
    return made[name]


IMPORTERS = ("euler", 10.0), ("exponential", 10.0), ("euler", None)  # discretization, the readout's gain


@pytest.mark.parametrize(
    ("kind", "discretization", "gain"),
    [*((kind, *IMPORTERS[n % 3]) for n, kind in enumerate(CELLS)), ("euler", *IMPORTERS[0])],
)
def test_the_file_gives_the_same_spikes_and_voltages(kind, discretization, gain, tmp_path):
    units = cell(**CELLS[kind])
    inputs = keras.Input((T, I), dtype="float64")
    encoded = kk.SpikeEncoder(2, code="threshold", context_switch=18, dtype="float64")(inputs)
    spikes = kk.RNN(units, name="hidden")(encoded)
    readout = kk.Readout(O, gain=gain, bias_initializer="ones", dt=units.dt, dtype="float64", name="readout")
    voltage = readout(spikes)
    model = kk.Model(inputs, kk.TimeAverage(4, dtype="float64")(voltage))

    graph = read_back(kk.to_nir(model, discretization), tmp_path / "graph.nir")
    every = keras.Model(inputs, [encoded, spikes, voltage])(digits(B, T, "float64"))
    sent, spikes, voltage = (each.numpy() for each in every)
    made = run(graph, sent, graph.metadata["dt"], exact=graph.metadata["discretization"] == "exponential")

    assert 0.03 < spikes.mean() < 0.7 and len(np.unique(spikes, axis=0)) == B
    np.testing.assert_array_equal(spikes_of(made, "hidden"), spikes)
    np.testing.assert_allclose(made["output"], voltage, rtol=1e-9, atol=1e-10)


def test_layers_above_each_other_and_layers_of_keras(tmp_path):
    wide = dict(return_sequences=True, dtype="float64")
    layers = [
        kk.RNN(cell(), name="first"),
        keras.layers.RNN(cell(reset="soft", tau_s=None), name="second", **wide),
        keras.layers.RNN(kk.ReadoutCell(O, tau_out=None, dtype="float64"), name="third", **wide),
    ]
    model = keras.Sequential([keras.Input((T, I), dtype="float64"), *layers])
    graph = read_back(kk.to_nir(model), tmp_path / "graph.nir")
    x = digits(B, T, "float64")
    made, first = run(graph, x, 1e-3), layers[0](x)
    second = layers[1](first)
    assert 0.03 < np.mean(first) < 0.7 and 0.03 < np.mean(second) < 0.7
    np.testing.assert_array_equal(spikes_of(made, "first"), first)
    np.testing.assert_array_equal(spikes_of(made, "second"), second)
    np.testing.assert_allclose(made["output"], model(x), rtol=1e-9, atol=1e-10)


def hidden(**settings):
    """A model of one hidden layer."""
    inputs = keras.Input((T, I), dtype="float64")
    return keras.Model(inputs, kk.RNN(cell(**settings), name="hidden")(inputs))


def test_the_numbers_of_the_graph(tmp_path):
    model = hidden(tau_m=20.0, tau_s=5.0, base_threshold=1.5, reset_potential=-0.2, resistance=2.0)
    graph = read_back(kk.to_nir(model), tmp_path / "graph.nir")
    ours, units = model.get_layer("hidden").cell, graph.nodes["hidden_units"].nodes
    assert graph.metadata == {"dt": 1e-3, "discretization": "euler", "recurrent_delay": 1e-3, "writer": "kernl_keras"}
    np.testing.assert_allclose(units["lif"].tau, np.full(H, 0.0205041663), rtol=1e-8)  # 1e-3 / (1 - exp(-1/20))
    np.testing.assert_allclose(units["synapse"].tau, np.full(H, 0.0055166556), rtol=1e-8)  # 1e-3 / (1 - exp(-1/5))
    np.testing.assert_allclose(units["synapse"].r, units["synapse"].tau / 1e-3)
    np.testing.assert_array_equal(units["lif"].r, np.ones(H))
    np.testing.assert_array_equal(units["lif"].v_reset, np.full(H, -0.2))
    assert np.all(units["lif"].v_threshold < 1.5) and np.all(np.nextafter(units["lif"].v_threshold, 2.0) == 1.5)
    np.testing.assert_array_equal(graph.nodes["hidden_kernel"].weight, 2.0 * ours.kernel.numpy().T)
    recurrent = 2.0 * ours.recurrent_kernel.numpy().T
    np.fill_diagonal(recurrent, 0.0)
    np.testing.assert_array_equal(units["recurrent_kernel"].weight, recurrent)
    edges = graph.nodes["hidden_units"].edges
    assert ("recurrent_kernel", "lif") in edges
    assert edges[-1] == ("lif", "output")  # Norse takes the last for the output

    exponential = kk.to_nir(model, "exponential").nodes["hidden_units"].nodes
    np.testing.assert_allclose(exponential["lif"].tau, np.full(H, 0.02), rtol=1e-12)
    np.testing.assert_allclose(exponential["synapse"].tau, np.full(H, 0.005), rtol=1e-12)


def test_a_step_as_long_as_the_importer_makes_it():
    model = hidden(adaptation_strength=[0.0] * H)  # which is none
    graph, x = kk.to_nir(model, dt=1e-4), digits(B, T, "float64")
    assert graph.metadata["dt"] == graph.metadata["recurrent_delay"] == 1e-4
    np.testing.assert_array_equal(spikes_of(run(graph, x, 1e-4), "hidden"), model(x))


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_potential_that_is_just_the_threshold(reset, dtype):
    """V = b0 spikes here, and would not in NIR: 0.5 * 2 is 1 to the bit."""
    settings = dict(tau_m=2.0, discretization="euler", resistance=1.0, tau_s=None, reset=reset, dtype=dtype)
    settings |= dict(kernel_initializer="ones", recurrent_initializer="zeros")
    inputs = keras.Input((3, 1), dtype=dtype)
    model = keras.Model(inputs, kk.RNN(cell(**settings), name="hidden")(inputs))
    x = np.array([[[2.0], [0.0], [1.9]]], dtype)
    spikes = model(x).numpy()
    np.testing.assert_array_equal(spikes[0, :, 0], [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(spikes_of(run(kk.to_nir(model), x, 1e-3), "hidden"), spikes)


@pytest.mark.parametrize(
    "units, message",
    [
        (cell(adaptation_strength=0.5), "adaptation_strength must be 0 for NIR, .* received 0.5"),
        (cell(adaptation_strength=[0.0] * 7 + [1.0]), "adaptation_strength must be 0 for NIR"),
        (cell(tau_ref=1.0), "tau_ref must be less than dt = 1 ms for NIR, .* received 1.0"),
        (cell(discretization="euler", tau_m=1.0), "tau_m must be > dt for discretization='exponential'"),
        (cell(dt=0.5), r"cells of one dt; received dt = \[0.5, 1.0\] ms"),
        (kk.ResonatorCell(H), "none for resonators and rates; received 'hidden', a ResonatorCell"),
        (kk.LeakyRNNCell(H), "none for resonators and rates; received 'hidden', a LeakyRNNCell"),
    ],
)
def test_what_nir_has_no_primitive_for(units, message):
    inputs = keras.Input((T, I), dtype="float64")
    voltage = kk.Readout(O, dtype="float64")(kk.RNN(units, name="hidden")(inputs))
    with pytest.raises(ValueError, match=message):
        kk.to_nir(keras.Model(inputs, voltage), "exponential")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"need the package nir: pip install nir"):
        kk.to_nir(hidden())
