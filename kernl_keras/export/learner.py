"""A network of one time step that answers and learns: for streams on small devices, without Keras and this package."""

import pathlib
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from ..layers.encoder import SpikeEncoder
from ..layers.step import Step, running
from ..training.forward import build_metrics, run_forward
from ..training.learn import group_of
from ..training.memory import released_with_model
from ..training.model import Model
from ..training.state import Kept, layer_states
from ..training.updates import update
from .learning_network import learning_network, short_name, targets


class Learner(tf.Module):
    """What `learner` returns; see there.

    Attributes:
        tensors: the variables by group, "weights", "optimizer", "states" and "traces", each a dict by name.
    """

    def __init__(self, model: keras.Model, y: tf.TensorSpec | None = None) -> None:
        super().__init__(name="learner")
        network, self._clip = learning_network(model)
        (inputs,), (outputs,) = network.inputs, network.outputs
        y = checked_targets(y) or targets(network.loss, outputs)
        x, y, weight = (
            tf.TensorSpec((1, *shape), dtype, name)
            for name, shape, dtype in (
                ("x", inputs.shape[2:], tf.float32),
                ("y", y.shape[1:], y.dtype),
                ("sample_weight", (), tf.float32),
            )
        )
        build_metrics(network, tf.zeros((1, *y.shape), y.dtype), tf.zeros(outputs.shape))
        self.__dict__["_network"] = network  # past TensorFlow, which would export Keras' own functions as well
        self._step = tf.function(self._answer, input_signature=[x], autograph=False)
        self._learn = tf.function(self._answer_and_learn, input_signature=[x, y, weight], autograph=False)
        self._reset = tf.function(self._start_anew, input_signature=[], autograph=False)
        self._save = tf.function(self._read, input_signature=[], autograph=False)
        seen = self._learn.get_concrete_function().graph.variables
        self.tensors = grouped(network, seen)
        self._all = {name: variable for group in self.tensors.values() for name, variable in group.items()}
        known = {id(variable) for variable in self._all.values()}  # Keras 2 counts the loss in every step
        self._others = [variable for variable in seen if id(variable) not in known]
        specs = {name: tf.TensorSpec(each.shape, each.dtype, name) for name, each in self._all.items()}
        self._restore = tf.function(self._write, autograph=False).get_concrete_function(**specs)

    # What it does

    def step(self, x: Any) -> dict[str, tf.Tensor]:
        """Answers, and the states advance.

        Args:
            x: [1, F]. Where it is not finite the states stay as they are.

        Returns:
            dict of `outputs` [1, n].
        """
        return self._step(*self._given(self._step, x))

    def learn(self, x: Any, y: Any, sample_weight: Any = (1.0,)) -> dict[str, tf.Tensor]:
        """Answers and learns: the states advance, and the weights take one step of the optimizer.

        Args:
            x: [1, F].
            y: what the loss compares the outputs with, of one step.
            sample_weight: [1], a factor of the loss.

        Returns:
            dict of `outputs` [1, n] and `loss`, a number.
        """
        return self._learn(*self._given(self._learn, x, y, sample_weight))

    def reset(self) -> None:
        """Starts a new sequence: states and traces are 0; weights and optimizer stay."""
        self._start_anew()

    def save(self) -> dict[str, tf.Tensor]:
        """All that lasts, by name: weights, the optimizer's variables, states and traces."""
        return self._read()

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Goes on from what `save` returned.

        Raises:
            ValueError: for other names or shapes.
        """
        if not isinstance(tensors, Mapping) or tensors.keys() != self._all.keys():
            raise ValueError(f"tensors must be a dict of {sorted(self._all)}; received {names_of(tensors)}.")
        self._restore(**{name: given(name, tensors[name], each) for name, each in self._all.items()})

    # To a device

    def export(self, folder: str | pathlib.Path) -> None:
        """Writes a SavedModel with the signatures `step`, `learn`, `reset`, `save` and `restore`."""
        signatures = {name: getattr(self, f"_{name}") for name in ("step", "learn", "reset", "save", "restore")}
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # nobody derives the exported steps
        tf.saved_model.save(self, str(folder), signatures=signatures, options=options)

    def to_litert(self) -> bytes:
        """The content of a `.tflite` file with the same signatures, of operations that every LiteRT interpreter has.

        Raises:
            ValueError: for a network that needs others.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.export(folder)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            converter.experimental_enable_resource_variables = True
            try:
                return converter.convert()
            except Exception as error:  # the converter's own class is not public
                missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
                if not missing:
                    raise
                learned = [layer.name for layer in linear_layers(self._network) if layer.cell.learn]
                why = f"; constants that learn in {', '.join(learned)} need traces=True" if learned else ""
                raise ValueError(
                    f"the network must do with LiteRT's own operations; received {', '.join(missing)}{why}."
                ) from error

    # How

    def _given(self, function, *values):
        signature = function.input_signature
        return [given(spec.name, value, spec) for spec, value in zip(signature, values)]

    def _answer(self, x):
        kept = Kept(self._states())
        with running(Step()):
            outputs = self._network(x[:, None], training=False)[:, 0]
        kept.put_back(tf.logical_not(tf.reduce_all(tf.math.is_finite(x))))  # or the states would stay NaN
        return {"outputs": outputs}

    @released_with_model
    def _answer_and_learn(self, x, y, sample_weight):
        """The training step of `Model` on a piece of one step, but for metrics and diagnostics."""
        kept = Kept(self._states())
        forward = run_forward(self._network, x[:, None], y[:, None], sample_weight)
        network = self._network
        of_weights = group_of(forward.tape, forward.loss, network.trainable_variables, network.optimizer)
        good = of_weights.finite & tf.math.is_finite(forward.loss) & tf.reduce_all(tf.math.is_finite(x))
        update(network.optimizer, clipped(of_weights, self._clip), good)
        kept.put_back(tf.logical_not(good))
        return {"outputs": forward.y_pred[:, 0], "loss": forward.loss}

    def _start_anew(self):
        for variable in self._states():
            variable.assign(tf.zeros_like(variable))
        return {"done": tf.constant(True)}  # LiteRT wants a result

    def _read(self):
        return {name: tf.identity(variable) for name, variable in self._all.items()}

    def _write(self, **tensors):
        for name, tensor in tensors.items():
            self._all[name].assign(tensor)
        return {"done": tf.constant(True)}

    def _states(self):
        return [state for _, state in layer_states(self._network)]


def learner(model: Model, y: tf.TensorSpec | None = None) -> Learner:
    """A network of one time step that answers and learns, with everything that it needs in variables of its own.

    `learn` does what `fit` does with a batch of one example and one step, of a network that is `stateful` with
    `window=1`: the rule's traces, or its linear memory, stand for all the past, and memory and time a step are the same
    however long the stream is. Weights, optimizer and their values are those of the model, which stays as it is; states
    and traces start at 0. In Python:

        answer = learner.step(x)["outputs"]
        answer = learner.learn(x, y)["outputs"]

    On a device, from `to_litert()` or `export(folder)`, the signatures are

        step      x [1, F]                                    -> outputs [1, n]
        learn     x [1, F], y [1, ..], sample_weight [1]      -> outputs [1, n], loss
        reset                                                 -> done; states and traces are 0, weights stay
        save                                                  -> all variables, by name
        restore   all variables, by name                      -> done

    The loss is that of each step's outputs. A `TimeAverage` at the end of the model is left out, and so are its
    Dropout layers. A step whose x, loss or gradients are not finite moves nothing. The states themselves are not
    looked at, unlike in `Model`, for a device would spend its time on that.

    Under KeRNL, M and gamma stand still, for they learn from a second, perturbed pass, which is not made here. What
    they say of the effect of a unit on the others is what was true when the model was exported, and no longer quite
    true once the recurrent weights have changed. The effect of a weight on its own unit does not depend on them.

    Args:
        model: a built and compiled `kernl_keras.Model`, a chain of layers as `one_step` takes them, but without Masking
            and BatchNormalization. Each `RNN` learns by a rule that has traces, such as "eprop" and "kernl"; which
            traces is said by the layer's argument `traces`, where None is for what suits a stateful layer.
        y: `tf.TensorSpec` of the targets of one step; None for [1] of integers under a sparse loss, and for float32 of
            the outputs' shape [1, n] under any other.

    Returns:
        `Learner`, a `tf.Module` with the methods `step`, `learn`, `reset`, `save`, `restore`, `export(folder)`, and
        `to_litert()`, the content of a `.tflite` file.

    Raises:
        ValueError: for a model that is not compiled with a loss, or not in single precision; and for layers and rules
            that cannot learn in this way: the message names them.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> inputs = keras.Input((7, 3))
    >>> hidden = kk.RNN(kk.LeakyRNNCell(4), rule="eprop", name="hidden")(inputs)
    >>> model = kk.Model(inputs, kk.Readout(2, name="readout")(hidden))
    >>> model.compile(keras.optimizers.SGD(0.01), "mse")
    >>> learner = kk.learner(model)
    >>> answer = learner.learn(x=np.ones((1, 3)), y=np.zeros((1, 2)))
    >>> tuple(answer["outputs"].shape), {name: [*group] for name, group in learner.tensors.items() if name == "states"}
    ((1, 2), {'states': ['hidden_activity', 'readout_v']})

    Source: Bellec et al., Nature Communications 11:3625 (2020), for learning while a network runs.
    """
    return Learner(model, y)


def clipped(gradients, norm):
    """A `Group` of which all gradients together have at most that norm; None for any norm.

    It is not left to Keras, which divides by the norm: LiteRT's XNNPACK makes NaN of that where all gradients are 0.
    """
    if norm is None:
        return gradients
    share = norm / tf.maximum(gradients.norm, norm)
    return gradients._replace(gradients=[share * each for each in gradients.gradients])


def grouped(network, used):
    """The variables of a network by group and name, as of `Learner.tensors`: those in the list `used`."""
    used = {id(variable) for variable in used}
    groups: dict[str, dict[str, tf.Variable]] = {"weights": {}, "optimizer": {}, "states": {}, "traces": {}}

    def add(group, name, variable):
        name = re.sub(r"\W", "_", name)
        while name in groups[group]:
            name += "_"
        if id(plain(variable)) in used:
            groups[group][name] = plain(variable)

    for layer in network.layers:
        for weight in layer.weights:
            add("weights", f"{layer.name}_{short_name(weight)}", weight)
    for variable in network.optimizer.variables:
        _, *parts = getattr(variable, "path", f"optimizer/{variable.name}").split("/")
        add("optimizer", "optimizer_" + "_".join(parts).split(":")[0], variable)
    numbers: dict[str, int] = {}
    for layer, state in layer_states(network):
        number = numbers[layer.name] = numbers.get(layer.name, -1) + 1
        add(*state_name(layer, number), state)
    return groups


def state_name(layer, number):
    """Group and name of one of a layer's states."""
    if isinstance(layer, SpikeEncoder):
        return "states", f"{layer.name}_state_{number}"
    fields = getattr(getattr(layer.cell, "State", None), "_fields", ("v",))
    if number < len(fields):
        return "states", f"{layer.name}_{fields[number]}"
    number -= len(fields)
    if getattr(layer, "memory", None) is None:
        return "traces", f"{layer.name}_traces_{number}"
    named = [name for name, shape in layer.memory.shapes._asdict().items() if shape is not None]
    return "traces", f"{layer.name}_memory_{named[number]}"


def plain(variable):
    """TensorFlow's variable of one of Keras."""
    return variable.value if IS_KERAS_3 and isinstance(variable, keras.Variable) else variable


def linear_layers(network):
    """The layers with traces in linear memory."""
    return [layer for layer in network.rule_layers if layer.memory is not None]


def checked_targets(y):
    """The argument `y` of `learner`."""
    if y is not None and not (isinstance(y, tf.TensorSpec) and y.shape.is_fully_defined() and y.shape[:1] == (1,)):
        raise ValueError(f"y must be a tf.TensorSpec of shape [1, ..], or None; received {y!r}.")
    return y


def given(name, value, like):
    """A value as a tensor of the shape and dtype of `like`; raises where it is none."""
    value, wanted = (value if tf.is_tensor(value) else np.asarray(value)), like.dtype.as_numpy_dtype
    dtype = np.dtype(getattr(value.dtype, "as_numpy_dtype", value.dtype))
    if tuple(value.shape) != tuple(like.shape) or not np.can_cast(dtype, wanted, "same_kind"):
        raise ValueError(
            f"{name} must be {like.dtype.name} of shape {tuple(like.shape)}; received {dtype} of shape {value.shape}."
        )
    return tf.cast(value, like.dtype)


def names_of(tensors):
    """What an error says of tensors that do not fit."""
    return sorted(map(str, tensors)) if isinstance(tensors, Mapping) else repr(tensors)
