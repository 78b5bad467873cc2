"""Targets that do not go with the loss or with the model's outputs: an error says so before anything is traced.

Only losses of Keras are looked at, for what another asks of its targets is its author's to say.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..keras_version import keras

LOSSES = {  # what is asked of the targets, by the losses of Keras that ask it
    "numbers": ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
    "one-hot": ("CategoricalCrossentropy", "categorical_crossentropy"),
    "values": ("MeanSquaredError", "mean_squared_error", "MeanAbsoluteError", "mean_absolute_error", "Huber", "huber",
               "BinaryCrossentropy", "binary_crossentropy"),
}  # fmt: skip


class Target(NamedTuple):
    """What is known of the targets of one output."""

    name: str  # in messages
    values: Any  # array or tensor, or the `tf.TensorSpec` of one
    weight: Any  # array or tensor; None where all count, or where it is not known
    output: Any  # shape of the output, a tuple; None where it is not known
    loss: Any

    @property
    def shape(self):
        rank = tf.TensorShape(self.values.shape).rank
        return () if rank is None else tuple(self.values.shape)


def check_targets(model, name, y, weight):
    """Raises for targets that the compiled losses cannot be computed from, or only by mistake.

    Args:
        model: compiled `Model`.
        name: of the targets, in messages.
        y, weight: targets and sample weights, as for `fit`; or the `tf.TensorSpec` of the targets, and None.
    """
    if own_loss(model):
        for target in targets_of(model, name, y, weight):
            check_target(target)


def own_loss(model):
    """Whether the losses are those of `compile` alone, in a step that is not the user's own."""
    methods = type(model).compute_loss, type(model).train_step
    known = all(method.__module__.split(".")[0] in ("keras", "tf_keras", "kernl_keras") for method in methods)
    return known and getattr(model, "loss", None) is not None


def asked_of_targets(loss):
    """The key of `LOSSES`; None for a loss of the user's, or one that is set up in an uncommon way."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:  # Keras says that it does not know it
            return None
    is_class = isinstance(loss, keras.losses.Loss)
    kind = type(loss) if is_class else loss
    for word, names in LOSSES.items():
        if any(kind is getattr(keras.losses, name) for name in names):
            return None if is_class and loss.get_config().get("axis", -1) != -1 else word
    return None


def targets_of(model, name, y, weight):
    """A `Target` for each output whose target and loss can be told."""
    outputs, losses = getattr(model, "outputs", None) or [], model.loss
    if len(outputs) > 1:
        named = model.output if isinstance(model.output, dict) else dict(zip(model.output_names, outputs))
        for number, (key, output) in enumerate(named.items()):
            y_of, loss = part_of(y, key, number), part_of(losses, key, number)
            weight_of = part_of(weight, key, number)
            if loss is not None and (y is None or hasattr(y_of, "shape")):
                yield Target(f"{name}, of the output {key!r},", y_of, weight_of, tuple(output.shape), loss)
        return
    y, losses, weight = (tf.nest.flatten(each) for each in (y, losses, weight))
    if len(y) == len(losses) == len(weight) == 1 and (y[0] is None or hasattr(y[0], "shape")):
        yield Target(name, y[0], weight[0], tuple(outputs[0].shape) if outputs else None, losses[0])


def part_of(structure, key, number):
    """What a dict has for a key, or a list at a place; anything else holds for all outputs."""
    if isinstance(structure, dict):
        return structure.get(key)
    if isinstance(structure, (list, tuple)):
        return structure[number] if number < len(structure) else None
    return structure


def check_target(target):
    """Raises for a target that a loss of Keras cannot be computed from, or only by mistake."""
    asked = asked_of_targets(target.loss)
    if asked is None:
        return
    if target.values is None:
        raise ValueError(f"{target.name} must have the targets of the loss that compile was given; received None.")
    if len(target.shape) == 0 or getattr(target.values, "dtype", None) is None:
        return
    check_words(target, asked)
    if target.output is not None and len(target.output) > 1:
        {"numbers": check_classes, "one-hot": check_one_hot, "values": check_values}[asked](target)


def check_words(target, asked):
    """Raises for names of classes."""
    dtype = getattr(target.values.dtype, "name", str(target.values.dtype))
    words = dtype == "string" or dtype.startswith(("str", "bytes"))
    if dtype == "object":  # of pandas, or by hand
        words = any(isinstance(each, (str, bytes)) for each in np.ravel(np.asarray(target.values))[:1])
    if words:
        advice = "names, y = np.unique(y, return_inverse=True) numbers the names, 0, 1, 2, ..."
        advice += ", and keras.utils.to_categorical(y) makes vectors of these." if asked == "one-hot" else "."
        raise ValueError(f"{target.name} must be numbers; received dtype {dtype}. {advice}")


def check_classes(target):
    """Raises unless there is one class for each answer, and the model has it."""
    shape, output, classes = target.shape, target.output, target.output[-1]
    if len(shape) == len(output) and shape[-1] == 1:
        shape = shape[:-1]
    if fits(shape, output[:-1]):
        return check_class_numbers(target, classes)
    if len(shape) == len(output) and shape[-1] == classes and fits(shape, output):
        raise ValueError(
            f"{target.name} must have the number of a class for each answer of the model, shape "
            f"{text(output[:-1])}; received shape {target.shape}. Vectors with a 1 for the class go with "
            "CategoricalCrossentropy; y.argmax(-1) makes numbers of them."
        )
    raise ValueError(f"{target.name} must have shape {text(output[:-1])}, the number of a class for each answer of the "
                     f"model; received shape {target.shape}.{steps_or_sequences(shape, output)}")  # fmt: skip


def check_one_hot(target):
    """Raises unless there is a vector for each answer."""
    shape, output, classes = target.shape, target.output, target.output[-1]
    if fits(shape, output):
        return
    if classes != 1 and (fits(shape, output[:-1]) or (fits(shape[:-1], output[:-1]) and shape[-1] == 1)):
        raise ValueError(
            f"{target.name} must have a vector for each answer of the model, shape {text(output)}; received shape "
            f"{target.shape}. The numbers of classes go with SparseCategoricalCrossentropy; "
            f"keras.utils.to_categorical(y, {classes}) makes vectors of them."
        )
    if len(shape) != len(output):
        raise ValueError(f"{target.name} must have shape {text(output)}, a vector for each answer of the model; "
                         f"received shape {target.shape}.{steps_or_sequences(shape[:-1], output)}")  # fmt: skip


def check_values(target):
    """Raises where the model answers at every step, and there is one target for a sequence."""
    shape, output = target.shape, target.output
    if len(output) == 3 and (len(shape) == 1 or (len(shape) == 2 and output[-1] not in (1, None))):
        raise ValueError(f"{target.name} must have shape {text(output)}, as the model answers at every step; received "
                         f"shape {shape}.{steps_or_sequences(shape[:1], output)}")  # fmt: skip


def steps_or_sequences(shape, output):
    """What to do where the model answers at every step and should answer once, or the other way round."""
    if len(output) == 3 and (len(shape) == 1 or shape[1:] == (1,)):
        return (
            " The model answers at every step: for one answer to a sequence put a kernl_keras.TimeAverage() behind the "
            "readout, or give a target for every step."
        )
    if len(output) == 2 and len(shape) == 2:
        return (
            " The model answers once: for an answer at every step leave out TimeAverage (return_sequences=True of the "
            "last recurrent layer)."
        )
    return ""


def check_class_numbers(target, classes):
    """Raises for numbers that are no classes of the model."""
    values = counted_numbers(target)
    if values.size == 0 or classes is None:
        return
    low, high = float(values.min()), float(values.max())
    if low < 0 or high >= classes:
        advice = "np.unique(y, return_inverse=True)[1] numbers the classes that there are."
        if low >= 1 and high == classes:
            advice = "Subtract 1: y - 1."
        elif low >= 0:
            advice = f"Give the readout {int(high) + 1} units, one for each class. Or {advice}"
        raise ValueError(
            f"{target.name} must be the numbers of classes, 0 to {classes - 1}, as the model has {classes} outputs; "
            f"received {low:g} to {high:g}. {advice}"
        )
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise ValueError(
            f"{target.name} must be the numbers of classes, which are whole; received fractions from {low:g} to "
            f"{high:g}. For a regression take the loss 'mse'."
        )


def counted_numbers(target):
    """The numbers of classes [n] that count: without those whose weight is 0, NaN, and the class that is ignored."""
    none = np.zeros(0)
    if isinstance(target.values, tf.TypeSpec):
        return none
    values = np.asarray(target.values)
    if values.dtype.kind not in "iufb":
        return none
    counts = np.isfinite(values) if values.dtype.kind == "f" else np.ones(1, bool)
    if target.weight is not None:
        weight = np.asarray(target.weight)
        weight = weight[..., 0] if weight.ndim > values.ndim else weight
        counts = counts & (np.reshape(weight, (*weight.shape, *[1] * (values.ndim - weight.ndim))) != 0)
    ignored = target.loss.get_config().get("ignore_class") if isinstance(target.loss, keras.losses.Loss) else None
    if ignored is not None:
        counts = counts & (values != ignored)
    return np.ravel(values) if counts.all() else values[np.broadcast_to(counts, values.shape)]


def fits(shape, of_output):
    """Whether a target's shape is that of an output, as far as both are known; the batch is any."""
    return len(shape) == len(of_output) and all(
        one == other or None in (one, other) for one, other in zip(shape[1:], of_output[1:])
    )


def text(shape):
    """A shape in words, whose first axis is the batch."""
    return f"[{', '.join(['examples', *('any' if each is None else str(each) for each in shape[1:])])}]"
