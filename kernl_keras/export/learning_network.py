"""The network of one example and one step that a learner runs: a model's layers once more, all of them stateful."""

import tensorflow as tf

from ..keras_version import keras, short_name
from ..layers.encoder import SpikeEncoder
from ..layers.rnn import RNN
from ..training.model import Model
from ..training.optimizers import build_optimizers, variable_groups
from .chain import chain


def learning_network(model):
    """A compiled `Model` of one example and one step, with the weights of a model and its optimizer's values.

    And the global norm to which the caller has to clip gradients, for this optimizer leaves it out; or None.
    """
    return _compiled(_network_of_steps(checked(model)), model)


def checked(model):
    """The layers of a model that can learn step by step, without Dropout; raises for any other."""
    layers = chain(model, each_step=True)
    if not isinstance(model, Model) or getattr(model, "optimizer", None) is None or not model.loss:
        raise ValueError(f"model must be a kernl_keras.Model that is compiled with a loss; received {model!r}.")
    for layer in layers:
        if isinstance(layer, (keras.layers.Masking, keras.layers.BatchNormalization)):
            why = "no step is left out" if isinstance(layer, keras.layers.Masking) else "one example has no statistics"
            raise ValueError(f"model must have no {type(layer).__name__}, as {why}; received {layer.name!r}.")
        if isinstance(layer, SpikeEncoder) and layer.code == "bernoulli":
            raise ValueError("model must have an encoder without random spikes; received code='bernoulli'.")
        dtypes = {layer.compute_dtype, getattr(getattr(layer, "cell", layer), "variable_dtype", "float32")}
        if dtypes != {"float32"}:
            raise ValueError(f"layer {layer.name!r} must be in float32; received {sorted(dtypes)}.")
        if isinstance(layer, RNN):
            _check_rule(layer)
    return [layer for layer in layers if not isinstance(layer, keras.layers.Dropout)]


def _check_rule(layer):
    """Raises unless a `RNN` learns by traces, one step after the other."""
    if layer.traces is False:
        raise ValueError(f"layer {layer.name!r} must have traces; received traces=False.")
    if layer.rule.by_tape or layer.rule.last or not layer.rule.stream_traces(layer.cell) or not layer.rule.crosses:
        raise ValueError(
            f"layer {layer.name!r} must have a rule that learns at every step by traces, such as 'eprop' or 'kernl'; "
            f"received {layer.rule!r}."
        )


def _network_of_steps(layers):
    """A `Model` of one example and one step, whose layers are stateful and have the weights of these."""
    x = inputs = keras.Input(batch_shape=(1, 1, *layers[0].input.shape[2:]), dtype="float32")
    for layer in layers:
        config = layer.get_config()
        if isinstance(layer, keras.layers.RNN):
            config |= {"return_sequences": True, "return_state": False, "stateful": True, "unroll": True}
        if isinstance(layer, SpikeEncoder):
            config |= {"stateful": True}
        if isinstance(layer, RNN):
            config |= {"window": 1}
        copy = type(layer).from_config(config)
        if isinstance(copy, RNN) and hasattr(copy.rule, "learn_sensitivity"):
            copy.rule.learn_sensitivity = False
        x = copy(x)
        copy.trainable = layer.trainable
        pairs = zip(*(sorted(each.weights, key=short_name) for each in (copy, layer)))  # a fixed M has another place
        for new, old in pairs:
            new.assign(old)
        if hasattr(copy, "cell"):
            copy.cell.hold_constants()
    return Model(inputs, x)


def _compiled(network, model):
    """The network with the model's loss and an optimizer like the model's, in its state; and `global_clipnorm`."""
    theirs = optimizer_of(model)
    config = theirs.get_config()
    if steps := config.get("gradient_accumulation_steps"):
        raise ValueError(f"the optimizer must learn from every step; received gradient_accumulation_steps={steps}.")
    clip, config["global_clipnorm"] = config.get("global_clipnorm"), None
    optimizer = type(theirs).from_config(config)
    weights = model._compile_config.config.get("loss_weights")  # `get_compile_config` would save a loss as well
    network.compile(optimizer, model.loss, loss_weights=weights)
    shapes = [variable.shape for variable in variable_groups(model)[1]]
    if shapes != [variable.shape for variable in network.trainable_variables]:
        raise ValueError(f"model must have no trainable weights but those of its chain of layers; received {model!r}.")
    build_optimizers(model)  # a model that was compiled before it was built has no slots yet
    for own, other in zip(optimizer.variables, theirs.variables):
        own.assign(other)
    return network, clip


def optimizer_of(model):
    """A model's optimizer without its loss scale, which has no use in float32."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def targets(loss, outputs):
    """`tf.TensorSpec` of the targets of a step, of which a sparse loss has one integer."""
    shape, dtype = ((), tf.int32) if is_sparse(loss) else (outputs.shape[2:], tf.float32)
    return tf.TensorSpec((1, *shape), dtype)


def is_sparse(loss):
    """True for a loss that compares with integers: by the name of its class or function, not by a user's."""
    if isinstance(loss, (list, tuple)):
        return any(is_sparse(each) for each in loss)
    functions = loss, getattr(loss, "fn", None)  # itself, or the one that Keras made a loss of
    names = [type(loss).__name__, *(getattr(each, "__name__", "") for each in functions)]
    return "sparse" in (loss if isinstance(loss, str) else " ".join(names)).lower()
