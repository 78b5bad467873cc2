"""All that training moves in a model."""

import numpy as np
import tensorflow as tf

from kernl_keras.training.state import layer_states


def states(model):
    """The states of stateful layers, a list of arrays."""
    return [np.asarray(tf.convert_to_tensor(state)) for _, state in layer_states(model)]


def everything(model):
    """Weights, counts of draws, running statistics, both optimizers' variables and states, a list of arrays."""
    optimizers = [variable for each in (model.optimizer, model.sensitivity_optimizer) for variable in each.variables]
    return [np.asarray(tf.convert_to_tensor(each)) for each in (*model.weights, *optimizers)] + states(model)
