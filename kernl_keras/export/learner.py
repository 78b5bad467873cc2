"""A network of one time step that answers and learns: for streams on small devices, without Keras and this package."""

import itertools
import pathlib
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ..checks import integer
from ..keras_version import keras
from ..layers.rnn import RNN
from ..layers.step import Step, running
from ..training.compiled import gradients_released_with
from ..training.metrics import build_metrics
from ..training.model import Model, run_forward
from ..training.optimizers import take_gradients, update, variable_groups
from ..training.state import Kept, layer_states
from .learning_network import checked, compiled, gradient_sums, grouped, is_sparse, learned, optimizer_of


class Learner(tf.Module):
    """A network of one time step that answers and learns, see `learner`.

    Attributes:
        tensors: the variables by group, "weights", "optimizer", "gradients", "states" and "traces", each a dict by
            name. The names are the same in every process, in Keras 3 and in Keras 2. The number of a layer that Keras
            named, such as `rnn_7`, counts the layers of the network instead: `rnn`, `rnn_1`. There are "gradients",
            sums over the steps since the last update and their number, with an `update_every` above 1.
    """

    def __init__(self, model: keras.Model, y: tf.TensorSpec | None = None, update_every: int = 1) -> None:
        super().__init__(name="learner")
        self.update_every = integer("update_every", update_every)
        layers = checked(model)
        network, self._clip = compiled(layers, model)
        (inputs,), (outputs,) = network.inputs, network.outputs
        if y is not None and not (isinstance(y, tf.TensorSpec) and y.shape.is_fully_defined() and y.shape[:1] == (1,)):
            raise ValueError(f"y must be a tf.TensorSpec of shape [1, ..], or None; received {y!r}.")
        if y is None:  # a sparse loss has one integer
            shape, dtype = ((), tf.int32) if is_sparse(network.loss) else (outputs.shape[2:], tf.float32)
            y = tf.TensorSpec((1, *shape), dtype)
        x = tf.TensorSpec((1, *inputs.shape[2:]), tf.float32, "x")
        y = tf.TensorSpec(y.shape, y.dtype, "y")
        weight = tf.TensorSpec((1,), tf.float32, "sample_weight")
        build_metrics(network, tf.zeros((1, *y.shape), y.dtype), tf.zeros(outputs.shape))
        groups = grouped(network)
        sums = gradient_sums(network, groups["weights"]) if self.update_every > 1 else {}
        self.__dict__["_network"] = network  # past TensorFlow, which would export Keras' own functions as well
        self.__dict__["_sums"] = list(sums.values())  # the last one counts the steps
        pairs = [(own, layer) for own, layer in zip(network.layers[1:], layers) if isinstance(layer, RNN)]
        self.__dict__["_following"] = [own for own, layer in pairs if own.memory and layer.sensitivity_weights]
        self._step = tf.function(self._answer, input_signature=[x], autograph=False)
        self._learn = tf.function(self._answer_and_learn, input_signature=[x, y, weight], autograph=False)
        self._reset = tf.function(self._start_anew, input_signature=[], autograph=False)
        self._save = tf.function(self.save, input_signature=[], autograph=False)
        seen = self._learn.get_concrete_function().graph.variables
        used = {id(variable) for variable in seen}
        self.tensors = {
            group: {name: variable for name, variable in tensors.items() if id(variable) in used}
            for group, tensors in {**groups, "gradients": sums}.items()
        }
        theirs = learned(layers, optimizer_of(model), variable_groups(model)[1])
        self.__dict__["_model"] = model, theirs["weights"] | theirs["optimizer"]
        self._all = {name: variable for group in self.tensors.values() for name, variable in group.items()}
        known = {id(variable) for variable in self._all.values()}  # Keras 2 counts the loss in every step
        self._others = [variable for variable in seen if id(variable) not in known]
        specs = {name: tf.TensorSpec(each.shape, each.dtype, name) for name, each in self._all.items()}
        self._restore = tf.function(self._write, autograph=False).get_concrete_function(**specs)

    def step(self, x: Any) -> dict[str, tf.Tensor]:
        """Answers to x [1, F] with a dict of `outputs` [1, n]; the states advance, unless x is not finite."""
        return self._answer_of(self._step, x)

    def learn(self, x: Any, y: Any, sample_weight: Any = (1.0,)) -> dict[str, tf.Tensor]:
        """Answers to x [1, F] as `step` does, and takes one step of the optimizer towards y [1, ..].

        Or it adds to the gradients until there are those of `update_every` steps. `sample_weight` [1] is a factor of
        the loss, a number, which stands in the answer as `loss`.
        """
        return self._answer_of(self._learn, x, y, sample_weight)

    def reset(self) -> None:
        """Starts a new sequence: states and traces are 0; weights, optimizer and sums of gradients stay."""
        self._start_anew()

    def save(self) -> dict[str, tf.Tensor]:
        """All that lasts, by name: weights, the optimizer's variables, sums of gradients, states and traces."""
        return {name: tf.identity(variable) for name, variable in self._all.items()}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Goes on from what `save` returned.

        Raises:
            ValueError: for other names or shapes, and for numbers that are not finite; then nothing has changed.
        """
        self._restore(**self._fitting("tensors", tensors))

    def to_keras(self, saved: Mapping[str, Any] | None = None) -> Model:
        """Puts what was learned into the model that this learner was made of, and returns it; `fit` then goes on.

        Its weights and its optimizer's values move, and nothing else: the model's states, the optimizer of M, and an
        optimizer that it was compiled with since stay. Gradients that have not come to an update are left out. Errors
        are those of `restore`.

        Args:
            saved: what `save` returned, also on a device, in another process or from a file, such as `np.load` reads
                it; None for what this learner knows now.
        """
        values = self.save() if saved is None else self._fitting("saved", saved)
        model, variables = self._model
        for name in self.tensors["weights"] | self.tensors["optimizer"]:
            variables[name].assign(values[name])
        return model

    def export(self, folder: str | pathlib.Path) -> None:
        """Writes a SavedModel with the signatures `step`, `learn`, `reset`, `save` and `restore`."""
        signatures = {name: getattr(self, f"_{name}") for name in ("step", "learn", "reset", "save", "restore")}
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # nobody derives the exported steps
        tf.saved_model.save(self, str(folder), signatures=signatures, options=options)
        # Whoever loads it would be warned of the names of custom gradients, which it has not.
        path, saved = pathlib.Path(folder, "saved_model.pb"), saved_model_pb2.SavedModel()
        saved.ParseFromString(path.read_bytes())
        for graph in (meta_graph.graph_def for meta_graph in saved.meta_graphs):
            for node in itertools.chain(graph.node, *(function.node_def for function in graph.library.function)):
                node.attr.pop("_gradient_op_type", None)
        path.write_bytes(saved.SerializeToString())

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
                raise ValueError(
                    f"the network must do with LiteRT's own operations; received {', '.join(missing)}."
                ) from error

    def _fitting(self, argument, tensors):
        """All of `tensors` as they are kept; raises where any of them does not fit."""
        if not isinstance(tensors, Mapping):
            raise ValueError(f"{argument} must be what save() returned, a dict of arrays; received {tensors!r}.")
        missing, unknown = sorted(self._all.keys() - tensors.keys()), sorted(tensors.keys() - self._all.keys(), key=str)
        if missing or unknown:
            raise ValueError(
                f"{argument} must have the names that save() gives; received a dict without {missing}, and with "
                f"{unknown}, which this network has not."
            )
        fitting = {name: _as_tensor(name, tensors[name], each) for name, each in self._all.items()}
        wrong = [name for name, value in fitting.items() if not np.isfinite(value).all()]
        if wrong:
            raise ValueError(f"{argument} must be finite; received NaN or infinity in {wrong}.")
        return fitting

    def _answer_of(self, function, *values):
        return function(*(_as_tensor(spec.name, value, spec) for spec, value in zip(function.input_signature, values)))

    def _answer(self, x):
        kept = Kept(self._states())
        with running(Step()):
            outputs = self._network(x[:, None], training=False)[:, 0]
        kept.put_back(tf.logical_not(tf.reduce_all(tf.math.is_finite(x))))  # or the states would stay NaN
        return {"outputs": outputs}

    def _answer_and_learn(self, x, y, sample_weight):
        """The training step of `Model` on a piece of one step, but for metrics and diagnostics."""
        network, kept = self._network, Kept(self._states())
        with gradients_released_with(self):
            forward = run_forward(network, x[:, None], y[:, None], sample_weight)
            weight_group = take_gradients(forward.tape, forward.loss, network.trainable_variables, network.optimizer)
            due = good = weight_group.finite & tf.math.is_finite(forward.loss) & tf.reduce_all(tf.math.is_finite(x))
            if self._sums:
                weight_group, due = self._added(weight_group, good)
            before = [layer.cell.direct_effect() for layer in self._following]
            if self._clip is not None:  # Keras divides by the norm: LiteRT's XNNPACK makes NaN of it where all are 0
                share = self._clip / tf.maximum(weight_group.norm, self._clip)
                weight_group = weight_group._replace(gradients=[share * each for each in weight_group.gradients])
            update(weight_group, due)
            for layer, effect in zip(self._following, before):
                layer.sensitivity_tensor.assign_add(layer.cell.direct_effect() - effect)
        kept.put_back(tf.logical_not(good))
        return {"outputs": forward.y_pred[:, 0], "loss": forward.loss}

    def _added(self, group, good):
        """The `Group` of the mean gradients since the last update, and whether they are those of `update_every` steps.

        What is not `good` is not added.
        """
        *every, steps = self._sums
        sums = {id(variable): each for variable, each in zip(self._network.trainable_variables, every)}
        kept = [*(sums[id(variable)] for variable in group.variables), steps]
        now = zip(kept, [*group.gradients, tf.ones(())])
        *totals, count = (each + tf.where(good, added, tf.zeros_like(added)) for each, added in now)
        due = good & (count >= self.update_every)
        for variable, value in zip(kept, (*totals, count)):
            variable.assign(tf.where(due, tf.zeros_like(value), value))
        mean = [each / self.update_every for each in totals]
        return group._replace(gradients=mean, norm=tf.linalg.global_norm(mean)), due

    def _start_anew(self):
        for variable in self._states():
            variable.assign(tf.zeros_like(variable))
        return {"done": tf.constant(True)}  # LiteRT wants a result

    def _write(self, **tensors):
        for name, tensor in tensors.items():
            self._all[name].assign(tensor)
        return {"done": tf.constant(True)}

    def _states(self):
        return [state for _, state in layer_states(self._network)]


def learner(model: Model, y: tf.TensorSpec | None = None, update_every: int = 1) -> Learner:
    """A network of one time step that answers and learns, with everything that it needs in variables of its own.

    `learn` does what `fit` does with a batch of one example and one step, of a network that is `stateful` with
    `window=1`: memory and time a step are the same however long the stream is. With `update_every=N` the weights stand
    still for N steps and then move by the mean of their gradients, as `fit` does with an optimizer that has Keras'
    `gradient_accumulation_steps=N`. Steps with a sample weight of 0 count among them, and they may be of several
    sequences, with a `reset` before each.

    Weights, optimizer and their values are those of the model, which stays as it is; states and traces start at 0. The
    learning rate stays at its present value or goes on by its schedule, and a value of 0 is warned of. On a device,
    from `to_litert()` or `export(folder)`, the signatures are

        step      x [1, F]                                    -> outputs [1, n]
        learn     x [1, F], y [1, ..], sample_weight [1]      -> outputs [1, n], loss
        reset                                                 -> done; states and traces are 0, weights stay
        save                                                  -> all variables, by name
        restore   all variables, by name                      -> done

    The loss is that of each step's outputs. A `TimeAverage` at the end of the model is left out, and so are its Dropout
    and GaussianNoise layers. A step whose x, loss or gradients are not finite moves nothing. The states themselves are
    not looked at, unlike in `Model`, for a device would spend its time on that.

    Under KeRNL, M and gamma do not learn, for that takes a second, perturbed pass. In linear memory an M that learns in
    the model moves by as much as the direct effect of the recurrent weights does, drive W_rec^T. Elsewhere M stands
    still, and is no longer exact once the recurrent weights have changed. The effect of a weight on its own unit does
    not depend on it.

    Args:
        model: a built and compiled `kernl_keras.Model`, a chain of layers as `one_step` takes them, but without Masking
            and BatchNormalization. Each `RNN` learns by a rule that has traces, such as "eprop" and "kernl"; which
            traces is said by the layer's argument `traces`, where None is for what suits a stateful layer. Classes of
            your own must be registered, as for saving.
        y: `tf.TensorSpec` of the targets of one step; None for [1] of integers under a sparse loss, and for float32 of
            the outputs' shape [1, n] under any other.
        update_every: N, how many steps that `learn` there are to an update of the weights.

    Returns:
        `Learner`, a `tf.Module` that has these as methods in Python, and `to_keras()`, which puts what was learned back
        into the model, `export(folder)`, and `to_litert()`, the content of a `.tflite` file.

    Raises:
        ValueError: for a model that is not compiled with a loss, or not in single precision; for layers and rules that
            cannot learn in this way, and trainable weights beside them: the message names them; for an optimizer with
            `gradient_accumulation_steps`, a `y` of another kind, and an `update_every` below 1.

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
    >>> learner.to_keras() is model
    True

    Source: Bellec et al., Nature Communications 11:3625 (2020), for learning while a network runs.
    """
    return Learner(model, y, update_every)


def _as_tensor(name, value, spec):
    """A value as a tensor of the shape and dtype of `spec`; raises where it is none."""
    value, wanted = (value if tf.is_tensor(value) else np.asarray(value)), spec.dtype.as_numpy_dtype
    dtype = np.dtype(getattr(value.dtype, "as_numpy_dtype", value.dtype))
    if tuple(value.shape) != tuple(spec.shape) or not np.can_cast(dtype, wanted, "same_kind"):
        raise ValueError(
            f"{name} must be {spec.dtype.name} of shape {tuple(spec.shape)}; received {dtype} of shape {value.shape}."
        )
    return tf.cast(value, spec.dtype)
