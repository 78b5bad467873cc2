"""The network of one example and one step that a learner runs, and names of its variables.

It has a model's layers once more, all of them stateful. The names are the same in every process and in both Kerases.
"""

import warnings

import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras, short_name
from ..layers.encoder import SpikeEncoder
from ..layers.names import distinct, layer_names
from ..layers.rnn import RNN
from ..training.model import Model
from ..training.optimizers import build_optimizers, learning_rate, leave_out_of_decay, variable_groups
from ..training.state import layer_states
from ..training.target_checks import check_logits
from .chain import chain

# Attributes of Keras' optimizers that hold no variables of their own; the last is made anew at every step.
NOT_OWN = ("_variables", "_trainable_variables", "_current_learning_rate")


def checked(model):
    """The layers of a model that can learn step by step, as `chain` has them; raises for any other."""
    layers = chain(model, each_step=True)
    if not isinstance(model, Model) or getattr(model, "optimizer", None) is None or not model.loss:
        raise ValueError(f"model must be a kernl_keras.Model that is compiled with a loss; received {model!r}.")
    check_logits(model)
    for layer in layers:
        if isinstance(layer, (keras.layers.Masking, keras.layers.BatchNormalization)):
            why = "no step is left out" if isinstance(layer, keras.layers.Masking) else "one example has no statistics"
            raise ValueError(f"model must have no {type(layer).__name__}, as {why}; received {layer.name!r}.")
        dtypes = {layer.compute_dtype, getattr(getattr(layer, "cell", layer), "variable_dtype", "float32")}
        if dtypes != {"float32"}:
            raise ValueError(f"layer {layer.name!r} must be in float32; received {sorted(dtypes)}.")
        if isinstance(layer, RNN):
            if layer.traces is False:
                raise ValueError(f"layer {layer.name!r} must have traces; received traces=False.")
            rule = layer.rule
            if rule.by_tape or rule.last or not rule.stream_traces(layer.cell) or not rule.crosses:
                raise ValueError(
                    f"layer {layer.name!r} must have a rule that learns at every step by traces, such as 'eprop' or "
                    f"'kernl'; received {rule!r}."
                )
    return layers


def network_of_steps(layers):
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
        if hasattr(copy, "cell"):
            copy.cell.trainable = layer.cell.trainable
        pairs = zip(*(sorted(each.weights, key=short_name) for each in (copy, layer)))  # a fixed M has another place
        for new, old in pairs:
            new.assign(old)
        if isinstance(copy, keras.layers.Normalization):
            copy.finalize_state()
        if hasattr(copy, "cell"):
            copy.cell.hold_constants()
    return Model(inputs, x)


def compiled(layers, model):
    """The network of steps of these layers, with the model's loss and an optimizer like the model's, in its state.

    And the global norm to which the caller has to clip gradients, for this optimizer leaves it out; or None.
    """
    theirs = optimizer_of(model)
    config = theirs.get_config()
    if steps := config.get("gradient_accumulation_steps"):
        raise ValueError(
            f"the optimizer must have no gradient_accumulation_steps, in place of which kk.learner has update_every; "
            f"received {steps}."
        )
    clip, config["global_clipnorm"] = config.get("global_clipnorm"), None
    optimizer = type(theirs).from_config(config)
    weights = model._compile_config.config.get("loss_weights")  # `get_compile_config` would save a loss as well
    network = network_of_steps(layers)
    network.compile(optimizer, model.loss, loss_weights=weights)
    shapes = [variable.shape for variable in variable_groups(model)[1]]
    if shapes != [variable.shape for variable in network.trainable_variables]:
        raise ValueError(f"model must have no trainable weights but those of its chain of layers; received {model!r}.")
    build_optimizers(model)  # a model that was compiled before it was built has no slots yet
    if float(learning_rate(theirs)) == 0.0:
        warnings.warn(
            f"The learner will learn nothing: after {int(theirs.iterations)} updates the learning rate is 0. Compile "
            "the model again with a constant one.",
            stacklevel=4,
        )
    for own, other in zip(optimizer.variables, theirs.variables):
        own.assign(other)
    pairs = zip(network.trainable_variables, variable_groups(model)[1])  # a configuration has no exclusions
    leave_out_of_decay(optimizer, [own for own, other in pairs if not theirs._use_weight_decay(other)])
    return network, clip


def optimizer_of(model):
    """A model's optimizer without its loss scale, which has no use in float32."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def is_sparse(loss):
    """True for a loss that compares with integers: by the name of its class or function, not by a user's."""
    if isinstance(loss, (list, tuple, dict)):
        return any(is_sparse(each) for each in tf.nest.flatten(loss))
    functions = loss, getattr(loss, "fn", None)  # itself, or the one that Keras made a loss of
    names = [type(loss).__name__, *(getattr(each, "__name__", "") for each in functions)]
    return "sparse" in (loss if isinstance(loss, str) else " ".join(names)).lower()


def grouped(network):
    """All variables of a learning network by group and name, as of `Learner.tensors`."""
    layers = chain(network, each_step=True)
    names = dict(zip(map(id, layers), layer_names(layers)))
    groups = learned(layers, network.optimizer, network.trainable_variables) | {"states": {}, "traces": {}}
    taken = {name for group in groups.values() for name in group}
    numbers: dict[int, int] = {}
    for layer, state in layer_states(network):
        number = numbers[id(layer)] = numbers.get(id(layer), -1) + 1
        group, field = _state_name(layer, number)
        groups[group][distinct(f"{names[id(layer)]}_{field}", taken)] = _plain(state)
    return groups


def gradient_sums(network, weights):
    """Variables for sums of the gradients of the trained weights, and one for the number of steps, by name."""
    names = {id(variable): name for name, variable in weights.items()}
    trained = [_plain(variable) for variable in network.trainable_variables]
    sums = {f"gradient_{names[id(each)]}": tf.Variable(tf.zeros_like(each), trainable=False) for each in trained}
    return {**sums, "gradient_steps": tf.Variable(tf.zeros(()), trainable=False)}


def learned(layers, optimizer, trained):
    """The groups "weights" and "optimizer"; the optimizer is built on the variables `trained`, in their order."""
    weights: dict[str, tf.Variable] = {}
    taken: set[str] = set()
    for layer, name in zip(layers, layer_names(layers)):
        constant = isinstance(layer, keras.layers.Normalization)  # its weights are numbers in the graph
        for weight in () if constant else layer.weights:
            weights[distinct(f"{name}_{short_name(weight)}", taken)] = _plain(weight)
    names = {id(variable): name for name, variable in weights.items()}
    slots = _optimizer_variables(optimizer, [names[id(_plain(variable))] for variable in trained])
    return {
        "weights": weights,
        "optimizer": {distinct(f"optimizer_{name}", taken): variable for name, variable in slots.items()},
    }


def _optimizer_variables(optimizer, trained):
    """An optimizer's variables by name; `trained` are the names of the weights that it is built on, in their order.

    Their own names count the models of the process, and each Keras has others. The optimizer's attributes have not:
    there each kind of slot is a list with an entry for every weight.
    """
    named = {}
    for attribute, value in vars(optimizer).items():
        kind, value = attribute.strip("_"), () if attribute in NOT_OWN else value
        if isinstance(value, (list, tuple)) and len(value) == len(trained):
            named |= {f"{kind}_{name}": slot for name, slot in zip(trained, value)}
        else:
            named[kind] = value
    named = {name: _plain(value) for name, value in named.items() if isinstance(_plain(value), tf.Variable)}
    known, taken = {id(variable) for variable in named.values()}, set(named)
    others = [_plain(variable) for variable in optimizer.variables]
    return named | {distinct(short_name(each), taken): each for each in others if id(each) not in known}


def _state_name(layer, number):
    """Group and short name of one of a layer's states."""
    if isinstance(layer, SpikeEncoder):
        return "states", f"state_{number}"
    fields = getattr(getattr(layer.cell, "State", None), "_fields", ("v",))
    if number < len(fields):
        return "states", fields[number]
    number -= len(fields)
    if getattr(layer, "memory", None) is None:
        return "traces", f"traces_{number}"
    fields = [name for name, shape in layer.memory.shapes._asdict().items() if shape is not None]
    return "traces", f"memory_{fields[number]}"


def _plain(variable):
    """TensorFlow's variable of one of Keras; anything else as it is."""
    return variable.value if IS_KERAS_3 and isinstance(variable, keras.Variable) else variable
