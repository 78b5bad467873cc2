"""`Model.export`: a SavedModel says, in a process without kernl_keras, bit by bit what the model says."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kernl_keras as kk
from kernl_keras.archives import read_arrays
from kernl_keras.keras_version import keras

from ..reference.tools import digits

B, T, I, H, O = 6, 20, 29, 7, 5  # noqa: E741
CELLS = {
    "spiking": lambda: kk.LIFCell(H, adaptation_strength=1.0),  # under an encoder that draws
    "resonator": lambda: kk.ResonatorCell(H, period=9.0),
}
pytestmark = pytest.mark.slow

# Runs apart from us. For every SavedModel of a folder: the pieces one after the other, each with the states that the
# answer to the one before held; then what the graph is made of.
CLIENT = """
import json, operator, pathlib, sys
import numpy as np
import tensorflow as tf

for path in pathlib.Path(sys.argv[1]).iterdir():
    loaded = tf.saved_model.load(path / "model")  # holds the variables
    serve = loaded.signatures["serving_default"]
    given = {name: tf.constant(value) for name, value in np.load(path / "given.npz", allow_pickle=False).items()}
    pieces = [given.pop(f"piece {n}") for n in range(sum(name.startswith("piece") for name in given))]
    made, states = {}, given
    for n, piece in enumerate(pieces):
        answer = serve(x=piece, **states)
        states = {name: answer[name] for name in states}
        made |= {f"{name} {n}": value for name, value in answer.items()}
    np.savez(path / "made.npz", **made)
    graph = serve.graph.as_graph_def()
    functions = operator.attrgetter("library.function")(graph)
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    read = [variable.name for variable in serve.variables]
    (path / "graph.json").write_text(json.dumps({"operations": [node.op for node in nodes], "variables": read}))
assert "kernl_keras" not in sys.modules
"""


def export(path, model, pieces, **states):
    """The SavedModel, and what it is to be called with."""
    model.export(path / "model")
    np.savez(path / "given.npz", **{f"piece {n}": piece for n, piece in enumerate(pieces)}, **states)


def network(kind):
    """Encoder, hidden layer, readout and window, compiled."""
    inputs = keras.Input((T, I), name="x")
    code = "bernoulli" if kind == "spiking" else "threshold"
    spikes = kk.SpikeEncoder(4, code=code, context_switch=10, seed=1)(inputs)
    hidden = kk.RNN(CELLS[kind](), seed=2, name="hidden")(spikes)
    voltage = kk.Readout(O, name="readout")(hidden)
    model = kk.Model(inputs, kk.TimeAverage(6)(voltage))
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=False)
    return model


def learn(model):
    """Noise is drawn, counters move, M is no longer what it was."""
    model.fit(digits(B, T), np.ones((B, O), "float32"), verbose=0)


def export_in_pieces(path):
    """All states of a `RNN` layer, the rule's among them, and the readout's, in and out; returns z and v."""
    layer = kk.RNN(kk.LIFCell(H, adaptation_strength=1.0), return_state=True)
    readout = kk.Readout(O, return_state=True)
    sizes = {f"hidden_{n}": H for n in range(10)} | {"voltage": O}
    received = {name: keras.Input((size,), name=name) for name, size in sizes.items()}
    x = keras.Input((None, I), name="x")
    *states, voltage = received.values()
    spikes, *states = layer(x, initial_state=states)
    voltages, voltage = readout(spikes, initial_state=[voltage])
    sent = {"spikes": spikes, "voltages": voltages} | dict(zip(sizes, [*states, voltage]))
    pieces = [digits(B, T)[:, :9], digits(B, T)[:, 9:10], digits(B, T)[:, 10:]]
    start = {name: np.zeros((B, size), "float32") for name, size in sizes.items()}
    export(path, keras.Model({"x": x, **received}, sent), pieces, **start)
    spikes, *_ = layer(digits(B, T))
    return spikes.numpy(), readout(spikes)[0].numpy()


def export_one_step(path, model):
    """One step of a network, states in and out by name; returns the voltages of the whole sequence."""
    step = kk.one_step(model)
    start = {name: np.zeros((B, each.shape[-1]), "float32") for name, each in step.input.items() if name != "x"}
    export(path, step, np.moveaxis(digits(B, T), 1, 0), **start)
    return keras.Model(model.input, model.get_layer("readout").output).predict(digits(B, T), verbose=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """`{name: (what the model says itself, what the client got, its graph)}`; one client for all."""
    folder = tmp_path_factory.mktemp("saved")
    paths = {name: folder / name for name in (*CELLS, "pieces", "step")}
    for path in paths.values():
        path.mkdir()
    models = {kind: network(kind) for kind in CELLS}
    learn(models["spiking"])
    for kind, model in models.items():
        export(paths[kind], model, [digits(B, T), digits(B, T)[:2]])
    says = {kind: model.predict(digits(B, T), verbose=0) for kind, model in models.items()}
    learn(models["spiking"])  # what is exported does not follow, nor hinder
    says["step"] = export_one_step(paths["step"], models["resonator"])
    says["pieces"] = export_in_pieces(paths["pieces"])
    command = [sys.executable, "-c", CLIENT, folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {
        name: (says[name], read_arrays(path / "made.npz"), json.loads((path / "graph.json").read_text()))
        for name, path in paths.items()
    }


@pytest.mark.parametrize("kind", CELLS)
def test_predictions_to_the_bit_and_for_any_batch_size(exported, kind):
    says, made, _ = exported[kind]
    assert says.shape == (B, O) and np.ptp(says, 0).min() > 1e-4  # each digit gets an answer of its own
    np.testing.assert_array_equal(made["output_0 0"], says)
    np.testing.assert_array_equal(made["output_0 1"], says[:2])


@pytest.mark.parametrize("kind", CELLS)
def test_nothing_in_it_learns_or_draws(exported, kind):
    """No variable changes, none of M, gamma and the counters is read, and only an encoder that draws has draws."""
    graph = exported[kind][2]
    operations = set(graph["operations"])
    assert {"While", "MatMul"} & operations
    assert not [name for name in operations if "Assign" in name or "Apply" in name]
    assert any("Random" in name for name in operations) == (kind == "spiking")
    names = sorted(name.split("/")[-1].split(":")[0] for name in graph["variables"])
    bias = ["bias"] if kind == "spiking" else ["bias", "bias"]  # of the readout, and of resonators
    assert names == [*bias, "kernel", "kernel", "recurrent_kernel"]


def test_piece_by_piece_with_states_in_and_out(exported):
    (spikes, voltages), made, _ = exported["pieces"]
    assert 0.02 < spikes.mean() < 0.9
    np.testing.assert_array_equal(np.concatenate([made[f"spikes {n}"] for n in range(3)], 1), spikes)
    got = np.concatenate([made[f"voltages {n}"] for n in range(3)], 1)
    np.testing.assert_allclose(got, voltages, rtol=1e-6, atol=1e-6)


def test_step_by_step(exported):
    voltages, made, _ = exported["step"]
    got = np.stack([made[f"outputs {t}"] for t in range(T)], 1)
    assert np.abs(voltages).max() > 0.1
    np.testing.assert_allclose(got, voltages, rtol=1e-5, atol=1e-6)
