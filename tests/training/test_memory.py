"""What a model leaves behind: nothing that TensorFlow would hold for good."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3, keras


def registered():
    """How many gradients TensorFlow holds."""
    return sum(name.startswith("CustomGradient-") for name in ops.gradient_registry._registry)


def graphs():
    gc.collect()
    return sum(isinstance(each, tf.Graph) for each in gc.get_objects())


def use_a_model():
    """Trains, evaluates, predicts and looks at gradients; returns how many gradients were held before and after."""
    inputs = keras.Input((5, 3))
    hidden = kk.RNN(kk.LIFCell(4), seed=1)(inputs)
    model = kk.Model(inputs, keras.layers.Dense(2)(hidden))
    model.compile("adam", "mse", jit_compile=False)
    before = registered()  # Keras 2 has traced the layers by now
    x, y = np.ones((4, 5, 3), "float32"), np.ones((4, 5, 2), "float32")
    model.fit(x, y, validation_data=(x, y), verbose=0)
    model.predict(x, verbose=0)
    tf.function(model.gradients)(x, y)
    return weakref.ref(model), before, registered()


@pytest.mark.usefixtures("memory")
@pytest.mark.slow
def test_the_graphs_of_a_model_go_with_it():
    keras.backend.clear_session()
    before = graphs()
    model, built, used = use_a_model()
    keras.backend.clear_session()
    after = graphs()
    assert model() is None and used > built == registered()
    assert not IS_KERAS_3 or after <= before + 1  # the default graph
