"""Arguments: a bad one is refused by an error that names it and says what was received; good ones work."""

import itertools
import re

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import kernl_keras as kk
from kernl_keras.keras_version import keras

from .public import INITIALIZERS, PUBLIC, H
from .tried import many, refused, some

pytestmark = pytest.mark.usefixtures("packaged_data_read_once")


def test_the_table_has_every_public_class():
    """The arguments of each are found in its signature; one that the table has not stops this file."""
    rooms = {"": kk, "rules.": kk.rules}
    classes = {room + name: getattr(of, name) for room, of in rooms.items() for name in of.__all__}
    made = {name for name, each in classes.items() if isinstance(each, type) and not issubclass(each, tuple)}
    bases = {f"rules.{base}" for base in ("Rule", "Kernel", "Hop", "Predictor", "Perturbation")}
    assert made - bases - {"Model"} <= set(PUBLIC)


@pytest.mark.parametrize("examples", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name, public in PUBLIC.items() if public.arguments])
def test_bad_arguments_are_refused(name, examples):
    """Some bad values of every class for every argument."""
    public = PUBLIC[name]
    bad = {(argument, kind): strategy for argument, of in public.arguments.items() for kind, strategy in of.bad.items()}

    @hypothesis.settings(many, max_examples=examples)
    @hypothesis.given(st.fixed_dictionaries(bad))
    def check(values):
        for (argument, kind), value in values.items():
            settings = {"settings": {**public.least, argument: value}, "names": argument, "received": shown(value)}
            refused(f"argument: {kind}", (name, argument, value), lambda settings: public.make(**settings), **settings)

    check()


def shown(value):
    """How a message may say what was received: as it is, its bad entry, how many entries it has, or its shape."""
    entries = list(value) if isinstance(value, (list, tuple, bytes, set)) else []
    shape = [f"received shape {np.shape(value)}"] if isinstance(value, (list, tuple)) else []
    return [repr(value), *map(repr, entries), f"received {len(entries)} values", *shape]


def arguments(public, *left_out):
    """Strategy: the least arguments, and any of the others, good."""
    kinds = {name: of.good for name, of in public.arguments.items() if name not in left_out}
    return st.fixed_dictionaries({n: kinds.pop(n) for n in public.least if n in kinds}, optional=kinds)


def finite(*tensors):
    for tensor in tensors:
        assert np.isfinite(tensor).all()


CELLS = ["LIFCell", "ResonatorCell", "LeakyRNNCell", "ReadoutCell"]


@pytest.mark.parametrize("examples", [8, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CELLS)
def test_cells_with_any_good_arguments_stay_finite(name, examples):
    """Time constants from 1e-3 to 1e9 ms, one example, one input, strong inputs: no NaN, the right shape and dtype."""

    @hypothesis.settings(many, max_examples=examples)
    @hypothesis.given(data=st.data())
    def check(data):
        settings = data.draw(arguments(PUBLIC[name]))
        dtype = data.draw(st.sampled_from(["float32", "float64"]))
        if settings.get("period") is not None and settings.get("tau", 1.0) is None:
            settings["tau"] = 20.0
        batch, inputs = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
        cell = PUBLIC[name].make(**settings, dtype=dtype)
        states = cell.get_initial_state(batch_size=batch) if name != "ReadoutCell" else [tf.zeros((batch, H), dtype)]
        x = tf.cast(data.draw(st.sampled_from([0.0, 1.0, -30.0, 1e3])), dtype) * tf.ones((batch, inputs), dtype)
        for _ in range(3):
            output, states = cell(x, states)
            assert output.shape == (batch, H) and output.dtype == dtype
        finite(output, *states)

    check()


@pytest.mark.parametrize("examples", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_layers_with_any_good_arguments_learn_or_say_what_does_not_go_together(examples):
    """One step, one example and one unit too: outputs, F and all gradients are finite."""

    @hypothesis.settings(many, max_examples=examples)
    @hypothesis.given(data=st.data())
    def check(data):
        public = PUBLIC["RNN"]
        settings = data.draw(arguments(public))
        steps, batch, units, inputs = (data.draw(st.integers(1, high)) for high in (5, 2, 3, 2))
        try:
            layer = kk.RNN(kk.LIFCell(units, use_bias=True), **settings)
        except ValueError as error:
            assert re.match(r"(traces|noise|window) must be .*; received ", str(error)), error
            return
        x = tf.constant(np.random.default_rng(0).normal(1.0, 2.0, (batch, steps, inputs)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
            loss = tf.reduce_sum(outputs**2) + tf.add_n(layer.losses or [0.0])
        expected = (batch, steps, units) if settings.get("return_sequences", True) else (batch, units)
        assert outputs.shape == expected
        weights = [x, *layer.trainable_variables]
        weights = [weight if isinstance(weight, (tf.Variable, tf.Tensor)) else weight.value for weight in weights]
        gradients = [gradient for gradient in tape.gradient(loss, weights) if gradient is not None]
        finite(outputs, loss, *gradients)

    check()


@some
@hypothesis.given(low=st.floats(1e-3, 1e9), factor=st.floats(1.0, 1e6), size=st.integers(0, 4), seed=st.integers(0, 9))
def test_log_uniform_stays_within_its_bounds(low, factor, size, seed):
    values = kk.LogUniform(low, low * factor, seed=seed)((size,), dtype="float64").numpy()
    assert values.shape == (size,) and (low <= values).all() and (values <= low * factor).all()


def cell_of(name, **more):
    return PUBLIC[name].make(**{**PUBLIC[name].least, **more})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["LIFCell", "ResonatorCell", "LeakyRNNCell"])
def test_half_precision_is_refused_where_it_cannot_hold_a_decay(name, dtype):
    words = {"names": "dtype", "received": "float16"}
    refused("argument: half precision", (name, dtype), cell_of, name, dtype=dtype, **words)


@pytest.mark.parametrize("name", ["LIFCell", "LeakyRNNCell"])
@pytest.mark.parametrize("tau", [[1e9] * H, [1.0, 1e12, 2.0], 1e300])
def test_a_unit_that_no_current_moves_is_refused(name, tau):
    argument, more = ("tau_m", {"resistance": 2.0}) if name == "LIFCell" else ("tau", {})
    cell = cell_of(name, **{argument: tau}, **more)
    refused("argument: too large a number", (name, tau), cell.build, (2, 3), names=argument, received=repr(tau))


NO_CELLS = [None, "cell", 3, kk.LIFCell, keras.layers.SimpleRNNCell(3), keras.layers.Dense(3)]


def test_cells_that_do_not_fit_are_refused():
    for cell in (*NO_CELLS, kk.ReadoutCell(2)):
        what = "RNN", type(cell).__name__
        refused("argument: a wrong type", what, kk.RNN, cell, names="cell", received="received")
    refused("argument: a wrong type", "Readout", kk.Readout, cell, names="units", received="ReadoutCell")


MISSPELLED = [
    (lambda **more: kk.LIFCell(2, **more), "tau_n", "tau_m"),
    (lambda **more: kk.LIFCell(2, **more), "kernel_initialiser", "kernel_initializer"),  # of a base class
    (lambda **more: kk.ResonatorCell(2, **more), "periods", "period"),
    (lambda **more: kk.LeakyRNNCell(2, **more), "trainabel", "trainable"),  # of Keras
    (lambda **more: kk.ReadoutCell(2, **more), "tau", "tau_out"),
    (lambda **more: kk.InputSpikeCell(2, **more), "seeds", "seed"),
    (lambda **more: kk.RNN(kk.LIFCell(2), **more), "rules", "rule"),
    (lambda **more: kk.RNN(kk.LIFCell(2), **more), "statefull", "stateful"),
    (lambda **more: kk.Readout(2, **more), "use_bais", "use_bias"),  # of its cell
    (lambda **more: kk.SpikeEncoder(2, **more), "codes", "code"),
    (lambda **more: kk.AudioEncoder(**more), "band", "bands"),
    (lambda **more: kk.TimeAverage(**more), "lst", "last"),
]


@pytest.mark.parametrize(("make", "misspelled", "meant"), MISSPELLED)
def test_of_a_misspelled_argument_the_nearest_is_named(make, misspelled, meant):
    message = refused("argument: an unknown argument", misspelled, make, names=misspelled, **{misspelled: 4})
    assert re.search(rf"no argument '{misspelled}'; did you mean '{meant}'\? Rec.*=4", message)


def test_what_is_like_no_argument_is_left_to_keras():
    for make in (kk.LIFCell, kk.Readout):
        with pytest.raises((ValueError, TypeError), match=r"^\W*(Unrecognized keyword|Keyword argument not).*zzz"):
            make(2, zzz=4)


NO_KERAS_OBJECTS = ["no such thing", "", 3, {}, {"class_name": "Nothing", "config": {}}, ["zeros"]]
OF_RULES = {"sensitivity_initializer": [kk.rules.KeRNL, kk.rules.PlainKeRNL], "initializer": [kk.rules.Exponential]}


@pytest.mark.parametrize("argument", sorted(INITIALIZERS))
def test_unknown_initializers_regularizers_and_constraints_are_refused(argument):
    makers = OF_RULES.get(argument, [lambda **more: kk.LIFCell(H, **more)])
    for make, value in itertools.product(makers, NO_KERAS_OBJECTS):
        what = getattr(make, "__name__", "LIFCell"), argument, value
        refused("argument: an unknown word", what, make, names=argument, received=repr(value), **{argument: value})


PARTS = {"kernel": (kk.rules.Twin(), kk.rules.Exponential), "perturbation": (kk.rules.Exponential(), kk.rules.Twin)}
OF_M = [(make, name, *of) for make in (kk.rules.KeRNL, kk.rules.PlainKeRNL) for name, of in PARTS.items()]


@pytest.mark.parametrize("make, argument, other, kind", [(kk.rules.get, "rule", kk.rules.Twin(), kk.rules.RFLO), *OF_M])
def test_objects_of_another_kind_are_refused(make, argument, other, kind):
    """Also their configurations, those of Keras, a configuration of nothing, and a class in the place of an object."""
    configuration, nothing = keras.saving.serialize_keras_object(other), {"class_name": "Nothing", "config": {}}
    for value in (other, configuration, keras.layers.Dense(2), nothing, kind):
        what, words = (make.__name__, argument, str(value)[:40]), {"names": f"{argument} must be", argument: value}
        refused("argument: a wrong type", what, make, received="received", **words)


def test_the_plain_form_has_exponential_kernels():
    for kernel in ("membrane", kk.rules.Membrane()):
        words = {"names": "kernel must be exponential", "received": repr(kernel)}
        refused("argument: an unknown word", kernel, kk.rules.PlainKeRNL, kernel=kernel, **words)


@pytest.mark.parametrize("model", [None, "model", 3, keras.layers.Dense(2), keras.Sequential([keras.layers.Dense(2)])])
@pytest.mark.parametrize("function", [kk.learner, kk.one_step, kk.to_nir])
def test_models_that_are_none_are_refused(function, model):
    words = {"names": "model must be a built Keras model", "received": "received"}
    refused("argument: a wrong type", (function.__name__, str(model)[:9]), function, model, **words)


def test_the_rule_of_a_layer_cannot_be_changed():
    layer = kk.RNN(kk.LIFCell(2), rule="eprop")
    with pytest.raises(AttributeError, match="rule"):
        layer.rule = "bptt"
    assert isinstance(layer.rule, kk.rules.EProp)
