"""What a model is given: data that cannot be learned from are refused before a graph is made, and the advice holds."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras

from ..reference.tools import through
from .tried import refused

T, I, C, B = 5, 2, 3, 4  # noqa: E741
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(1.0, 2.0, (8, T, I)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1])
EVERY = RANDOM.integers(0, C, (8, T))
NAMES = np.array(["left", "right", "up"])[Y]
NUMBERS = np.unique(NAMES, return_inverse=True)[1]
LENGTHS = [3, 5, 4, 5, 5, 5, 2, 5]
RAGGED = [x[:length] for x, length in zip(X, LENGTHS)]
OBJECTS = np.empty(8, object)
OBJECTS[:] = RAGGED
ONE_HOT = np.eye(C)[Y]


def sparse(**settings):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **settings)


def layers(average=True, units=C, stateful=False, hidden=False):
    """Without hidden units where nothing is asked of them, which is quicker."""
    made = [kk.RNN(kk.LIFCell(3), rule="eprop", stateful=stateful, seed=1)] if hidden else []
    made.append(kk.Readout(units, stateful=stateful))
    return [*made, kk.TimeAverage(stateful=stateful)] if average else made


def model(loss=None, batch=None, mask=False, steps=T, **settings):
    """One that is compiled; with a `batch` it is stateful."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((steps, I), batch_size=batch)
    chain = [keras.layers.Masking()] * mask + layers(stateful=batch is not None, **settings)
    return compiled(kk.Model(inputs, through(chain, inputs)), loss)


@functools.cache
def untouched(settings):
    """One that is only asked for what it refuses."""
    return model(**dict(settings))


def compiled(made, loss=None):
    made.compile("sgd", sparse() if loss is None else loss, run_eagerly=True)
    return made


def dataset(*parts, batch=B, **settings):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(batch, **settings)


STATEFUL, EVERY_STEP = {"batch": B}, {"average": False}
VECTORS = {"loss": keras.losses.CategoricalCrossentropy(from_logits=True)}
BATCH, LOSS = "data: a batch that does not fit a stateful model", "data: targets that do not fit loss or outputs"
SEQUENCES, NOTHING, FEATURES = "data: sequences that are no array", "data: nothing", "data: other features"
ONE_VALUE = {**EVERY_STEP, "loss": "mse", "units": 1}
WIDE = np.zeros((8, T, I + 1))
REFUSED = [  # kind, settings of the model, what it is asked for, argument and requirement, received, advice
    (BATCH, STATEFUL, lambda m: m.fit(X[:5], Y[:5], batch_size=B), "x must have a multiple of 4", "5", "x[:4]"),
    (BATCH, STATEFUL, lambda m: m.fit(X[:3], Y[:3], batch_size=B), "x must have a multiple of 4", "3", "up with 1 "),
    (BATCH, STATEFUL, lambda m: m.evaluate(X[:7], Y[:7], batch_size=B), "x must", "7", "sample_weight of 0"),
    (BATCH, STATEFUL, lambda m: m.predict(X[:5], batch_size=B), "x must", "5", "what is predicted"),
    (BATCH, STATEFUL, lambda m: m.predict(X), "batch_size must be 4", "None (Keras takes 32)", "set_weights"),
    (BATCH, STATEFUL, lambda m: m.fit(X, Y, batch_size=2), "batch_size must be 4", "received 2", "set_weights"),
    (BATCH, STATEFUL, lambda m: m.train_on_batch(X, Y), "x must have 4 examples", "8", "x[:4]"),
    (BATCH, STATEFUL, lambda m: m.test_on_batch(X[:3], Y[:3]), "x must have 4", "3", "sample_weight of 0"),
    (BATCH, STATEFUL, lambda m: m.predict_on_batch(X[:3]), "x must have 4 examples", "3", "up with 1 other"),
    (BATCH, STATEFUL, lambda m: m.fit(X[:4], Y[:4], validation_data=(X[:6], Y[:6]), batch_size=B),
     "x of validation_data must have a multiple of 4", "6", "x[:4]"),
    (BATCH, STATEFUL, lambda m: m.fit(X[:4], Y[:4], validation_data=(X, Y), batch_size=B, validation_batch_size=8),
     "validation_batch_size must be 4", "8", "set_weights"),
    (BATCH, STATEFUL, lambda m: m.fit(X, Y, batch_size=B, validation_split=0.25),
     "x without its validation_split must", "received 6", "x[:4]"),
    (BATCH, STATEFUL, lambda m: m.predict(dataset(X, batch=2, drop_remainder=True)), "x of the data set", "2", "full_"),
    (FEATURES, {}, lambda m: m.fit(WIDE, Y), "x must have 2 features, as built", "(8, 5, 3)", None),
    (FEATURES, {}, lambda m: m.predict_on_batch(WIDE), "x must have 2 features, as built", "(8, 5, 3)", None),
    (FEATURES, {}, lambda m: m.evaluate(dataset(WIDE, Y)), "x of the data set must have 2 feat", "(None, 5, 3)", None),
    (LOSS, {}, lambda m: m.fit(X, NAMES), "y must be numbers", "str", "np.unique(y, return_inverse=True)"),
    (LOSS, {}, lambda m: m.fit(X, NAMES.astype(object)), "y must be numbers", "object", "np.unique"),
    (LOSS, {}, lambda m: m.fit(dataset(X, NAMES)), "y of the data set must be numbers", "string", "np.unique"),
    (LOSS, VECTORS, lambda m: m.fit(X, NAMES), "y must be numbers", "str", "to_categorical"),
    (LOSS, {}, lambda m: m.fit(X, Y.tolist()), "y must be an array", "list of 8", "np.array(y)"),
    (LOSS, {}, lambda m: m.fit(X, Y + 1), "0 to 2", "received 1 to 3", "Subtract 1"),
    (LOSS, {"loss": "sparse_categorical_crossentropy"}, lambda m: m.fit(X, Y + 1.0), "0 to 2", "1 to 3", "Subtract 1"),
    (LOSS, {}, lambda m: m.train_on_batch(X, tf.constant(Y - 1)), "0 to 2", "received -1 to 1", "np.unique"),
    (LOSS, {}, lambda m: m.evaluate(X, 2 * Y), "0 to 2", "received 0 to 4", "5 units"),
    (LOSS, {}, lambda m: m.fit(X, Y / 2), "which are whole", "fractions from 0 to 1", "'mse'"),
    (LOSS, {}, lambda m: m.fit(X, Y, validation_data=(X, Y + 1)), "y of validation_data", "1 to 3", "Subtract 1"),
    (LOSS, {}, lambda m: m.fit(X, ONE_HOT), "y must have the number", "(8, 3)", "CategoricalCrossentropy"),
    (LOSS, {}, lambda m: m.fit(X, EVERY), "y must have shape [examples]", "(8, 5)", "leave out TimeAverage"),
    (LOSS, VECTORS, lambda m: m.fit(X, Y), "shape [examples, 3]", "(8,)", "SparseCategoricalCrossentropy"),
    (LOSS, VECTORS, lambda m: m.fit(X, Y[:, None]), "shape [examples, 3]", "(8, 1)", "to_categorical(y, 3)"),
    (LOSS, EVERY_STEP, lambda m: m.fit(X, Y), "y must have shape [examples, 5]", "(8,)", "kernl_keras.TimeAverage()"),
    (LOSS, EVERY_STEP, lambda m: m.fit(X, Y[:, None]), "shape [examples, 5]", "(8, 1)", "kernl_keras.TimeAverage()"),
    (LOSS, EVERY_STEP, lambda m: m.fit(dataset(X, Y)), "y of the data set must have shape", "(None,)", "TimeAverage()"),
    (LOSS, {**EVERY_STEP, **VECTORS}, lambda m: m.fit(X, ONE_HOT), "shape [examples, 5, 3]", "(8, 3)", "TimeAverage()"),
    # Each example would learn from the targets of all.
    (LOSS, ONE_VALUE, lambda m: m.fit(X, Y), "y must have shape [examples, 5, 1]", "(8,)", "TimeAverage()"),
    (LOSS, ONE_VALUE, lambda m: m.fit(X, Y[:, None]), "y must have shape [examples, 5, 1]", "(8, 1)", "TimeAverage()"),
    (LOSS, {"loss": "mse"}, lambda m: m.fit(X, WIDE), "y must have shape [examples, 3]", "(8, 5, 3)", "leave out Time"),
    (LOSS, {"loss": "mae"}, lambda m: m.fit(X, Y), "y must have shape [examples, 3]", "(8,)", None),
    (LOSS, {"loss": "mse"}, lambda m: m.fit(X, Y[:, None]), "y must have shape [examples, 3]", "(8, 1)", None),
    (LOSS, {"loss": "binary_crossentropy"}, lambda m: m.fit(X, ONE_HOT[:, :2]), "[examples, 3]", "(8, 2)", None),
    (LOSS, {}, lambda m: m.fit(dataset(X, Y, np.ones(8)), class_weight={0: 1.0, 1: 2.0, 2: 1.0}),
     "class_weight must be None for data with sample weights", "{0: 1.0", "Multiply it into them"),
    (LOSS, {"loss": "sparse_categorical_crossentropy"}, lambda m: m.fit(X, Y), "loss must have from_logits=True",
     "received sparse_categorical_crossentropy", "SparseCategoricalCrossentropy(from_logits=True)"),
    (LOSS, {**EVERY_STEP, "loss": keras.losses.CategoricalCrossentropy()}, lambda m: m.fit(X, np.zeros((8, T, 3))),
     "loss must have from_logits=True", "received CategoricalCrossentropy", "from_logits=True"),
    (LOSS, {"loss": "sparse_categorical_crossentropy"}, kk.learner, "loss must have from_logits=True", "sparse", None),
    (LOSS, {}, lambda m: m.fit(X, Y, sample_weight=np.ones((8, T))), "sample_weight must have shape [examples]",
     "(8, 5)", None),
    (LOSS, {}, lambda m: m.fit(X, Y, sample_weight=np.ones(7)), "as many examples as the targets (8)", "(7,)", None),
    (LOSS, EVERY_STEP, lambda m: m.fit(X, EVERY, sample_weight=np.ones((8, T - 1))),
     "sample_weight must have shape [examples, 5]", "(8, 4)", None),
    (LOSS, {}, lambda m: m.fit(X, Y, validation_data=(X, Y, np.ones((8, T)))),
     "sample_weight of validation_data must have shape [examples]", "(8, 5)", None),
    (LOSS, {}, lambda m: m.fit(X, Y.astype(object)), "y must be numbers", "object", "y.astype('float32')"),
    (LOSS, {}, lambda m: m.fit(X, list(Y)), "y must be an array", "list of 8", "np.array(y)"),
    (SEQUENCES, {}, lambda m: m.predict(X.astype(object)), "x must be numbers", "object", "x.astype('float32')"),
    (SEQUENCES, {}, lambda m: m.predict([list(map(list, x)) for x in X]), "x must be an array", "list of 8",
     "np.array(x)"),
    (LOSS, {}, lambda m: m.fit(X), "y must have the targets", "None", None),
    (LOSS, {}, lambda m: m.fit(dataset(X)), "y of the data set must have the targets", "None", None),
    (SEQUENCES, {}, lambda m: m.fit(RAGGED, Y), "x must be one array", "8 sequences with 2 to 5", "pad_sequences"),
    (SEQUENCES, {}, lambda m: m.predict(OBJECTS), "x must be one array", "2 to 5 steps", "Masking()"),
    (SEQUENCES, {}, lambda m: m.predict([x.tolist() for x in RAGGED]), "x must be", "2 to 5 steps", "Masking()"),
    (SEQUENCES, {}, lambda m: m.predict_on_batch(list(X)), "x must be one array", "a list of 8", "np.stack(x)"),
    (NOTHING, {}, lambda m: m.fit(None, Y), "x must be an array", "None", None),
    (NOTHING, {}, lambda m: m.predict(None), "x must be an array", "None", None),
    (NOTHING, {}, lambda m: m.fit(X[:0], Y[:0]), "x must have at least one example", "(0, 5, 2)", None),
    (NOTHING, {}, lambda m: m.predict(X[:0]), "x must have at least one example", "(0, 5, 2)", None),
    (LOSS, EVERY_STEP, lambda m: m.fit(X, EVERY, class_weight={0: 1.0, 1: 2.0, 2: 1.0}),
     "class_weight must be None for answers at every step", "{0: 1.0", "sample_weight [examples, steps]"),
]  # fmt: skip
if IS_KERAS_3:  # Keras 2 spreads such weights over the steps
    OF_EXAMPLES = np.ones(8)
    REFUSED += [
        (LOSS, EVERY_STEP, lambda m: m.fit(X, EVERY, sample_weight=OF_EXAMPLES),
         "sample_weight must have shape [examples, 1]", "(8,)", "sample_weight[:, None]"),
        (LOSS, EVERY_STEP, lambda m: m.evaluate(dataset(X, EVERY, OF_EXAMPLES)),
         "sample_weight of the data set must have shape", "(None,)", "sample_weight[:, None]"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_data_that_do_not_fit_are_refused(number):
    kind, settings, ask, names, received, advice = REFUSED[number]
    made = untouched(tuple(settings.items()))
    weights = made.get_weights()
    assert (advice or "") in refused(kind, number, ask, made, names=names, received=received)
    assert made.train_function is None and made.test_function is None and made.predict_function is None
    assert all(map(np.array_equal, made.get_weights(), weights))


def test_a_batch_of_other_features_is_refused_after_a_good_one():
    """TensorFlow then traces the step for any number of features."""
    made = model()
    made.compile("sgd", sparse(), jit_compile=False)
    made.train_on_batch(X, Y)
    refused(FEATURES, "later", made.train_on_batch, WIDE, Y, names="x must have 2 features", received="(8, 5, 3)")
    made.train_on_batch(X, Y)


def test_of_several_outputs_each_is_looked_at():
    inputs = keras.Input((T, I))
    hidden = kk.RNN(kk.LIFCell(3), rule="eprop")(inputs)
    outputs = [kk.TimeAverage(name="first")(kk.Readout(2)(hidden)), kk.Readout(C, name="second")(hidden)]
    made = compiled(kk.Model(inputs, outputs), {"first": "mse", "second": sparse()})
    for y in ([ONE_HOT[:, :2], Y], {"first": ONE_HOT[:, :2], "second": Y}):
        refused(LOSS, list(y), made.fit, X, y, names="y, of the output 'second', must", received="(8,)")
    made.fit(X, [ONE_HOT[:, :2], EVERY], verbose=0)


@pytest.mark.parametrize("kind", ["sequential", "subclass"])
def test_models_that_are_not_built_say_what_they_can(kind):
    class Own(kk.Model):
        def __init__(self):
            super().__init__()
            self.each = layers()

        def call(self, x):
            return through(self.each, x)

    made = compiled(kk.Model(layers()) if kind == "sequential" else Own())
    refused(LOSS, kind, made.fit, X, NAMES, names="y must be numbers", received="str")
    made.fit(X, Y, verbose=0)


PADDED = keras.utils.pad_sequences(RAGGED, dtype="float32", padding="post")
TENSOR = tf.RaggedTensor.from_row_lengths(np.concatenate(RAGGED), LENGTHS)
WEIGHT = np.array([1, 1, 1, 1, 1, 0, 0, 0], "float32")


def test_padded_sequences_are_read_as_they_are_alone():
    """As the advice for sequences of different lengths promises."""
    made = model(mask=True, steps=None, hidden=True)
    alone = [made(each[None])[0] for each in RAGGED]
    np.testing.assert_allclose(made(PADDED), alone, rtol=1e-5, atol=1e-6)


def test_another_batch_size_has_the_same_weights():
    """A stateful model that is built anew for it predicts the same."""
    made, other = model(**STATEFUL, hidden=True), model(batch=1, hidden=True)
    other.set_weights(made.get_weights())
    expected = made.predict(X[:4], batch_size=B, verbose=0)
    np.testing.assert_allclose(other.predict(X[:1], batch_size=1, verbose=0), expected[:1], rtol=1e-5, atol=1e-6)


def none_of_these(y_true, y_pred):
    return tf.reduce_mean(tf.square(y_pred)) + 0.0 * tf.reduce_sum(tf.cast(y_true, y_pred.dtype))


IN_ORDER = {"batch_size": B, "shuffle": False}
TAKEN = {  # what a message advises, and what looks bad but is learned from: settings of the model, arguments of `fit`
    "examples of weight 0": (STATEFUL, {"x": X, "y": Y, "sample_weight": WEIGHT, **IN_ORDER}),
    "full_batches": (STATEFUL, {"x": kk.data.full_batches(dataset(X[:5], Y[:5]), B)}),
    "names to numbers": ({}, {"x": X, "y": NUMBERS}),
    "names to vectors": (VECTORS, {"x": X, "y": keras.utils.to_categorical(NUMBERS)}),
    "a unit for each class": ({"units": 5}, {"x": X, "y": 2 * Y}),
    "a target for every step": (EVERY_STEP, {"x": X, "y": EVERY}),
    "sequences to an array": ({"mask": True}, {"x": PADDED, "y": Y}),
    "a ragged tensor to an array": ({"mask": True}, {"x": TENSOR.to_tensor(), "y": Y}),
    "whole numbers as floats": ({}, {"x": X, "y": Y + 0.0}),
    "a column of classes": ({}, {"x": X, "y": Y[:, None]}),
    "a class that is ignored": ({"loss": sparse(ignore_class=-1)}, {"x": X, "y": np.where(Y == 2, -1, Y)}),
    "a loss of one's own": ({"loss": none_of_these}, {"x": X, "y": EVERY + 7}),
    "a generator": ({}, {"x": ((X, Y) for _ in range(9)), "steps_per_epoch": 2}),
    "batches of an unknown size": (STATEFUL, {"x": dataset(X, Y)}),
    "one batch, and no batch_size": (STATEFUL, {"x": X[:4], "y": Y[:4]}),
    "as many steps as there are whole batches": (STATEFUL, {"x": X[:6], "y": Y[:6], "steps_per_epoch": 1, **IN_ORDER}),
    "a split into whole batches": (STATEFUL, {"x": X, "y": Y, "batch_size": B, "validation_split": 0.5}),
    "tensors": ({}, {"x": tf.constant(X), "y": tf.constant(Y), "validation_data": (tf.constant(X), tf.constant(Y))}),
}


@pytest.mark.filterwarnings("ignore:.*shuffle=True")
@pytest.mark.parametrize("which", TAKEN)
def test_what_can_be_learned_from_is_taken(which):
    settings, data = TAKEN[which]
    made = model(**settings)
    before = [weight.numpy() for weight in made.trainable_variables]
    assert np.isfinite(made.fit(**data, verbose=0).history["loss"]).all()
    assert made.diagnostics()["skipped_updates"] == 0.0
    assert any((weight.numpy() != value).any() for weight, value in zip(made.trainable_variables, before))


def test_a_step_of_ones_own_may_have_targets_of_its_own():
    class Own(kk.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean(tf.square(y_pred))

    inputs = keras.Input((T, I))
    compiled(Own(inputs, through(layers(), inputs))).fit(X, Y + 1, verbose=0)


def test_ragged_tensors_go_to_a_layer_that_fills_them_up():
    class Filled(keras.layers.Layer):
        def call(self, inputs):
            return inputs.to_tensor() if isinstance(inputs, tf.RaggedTensor) else inputs

    made = compiled(kk.Model([Filled(), *layers()]), "mse")
    made.fit(TENSOR, ONE_HOT, verbose=0)
