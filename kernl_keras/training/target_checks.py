"""Checks of targets: that they fit the compiled losses and the outputs of a model.

Targets are checked for Keras' own losses alone, because other losses may need anything.
"""

import numpy as np
import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from ..layers.readout import Readout
from ..layers.time_average import TimeAverage

LOSSES = {  # Keras' losses by the kind of targets that they need
    "numbers": ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
    "one-hot": ("CategoricalCrossentropy", "categorical_crossentropy"),
    "values": ("MeanSquaredError", "mean_squared_error", "MeanAbsoluteError", "mean_absolute_error", "Huber", "huber",
               "BinaryCrossentropy", "binary_crossentropy"),
}  # fmt: skip


def check_targets(model, name, y, weight):
    """Raises for targets, or a `tf.TensorSpec`, that do not fit the losses of a model without a step of its own."""
    rooms = {method.__module__.split(".")[0] for method in (type(model).compute_loss, type(model).train_step)}
    if getattr(model, "loss", None) is None or not rooms <= {"keras", "tf_keras", "kernl_keras"}:
        return
    for target in _targets_of(model, name, y, weight):
        _check_target(*target)
    check_logits(model)


def check_logits(model):
    """Raises where one of Keras' losses takes the potentials of a `Readout`, or their means, for probabilities."""
    for number, (key, output) in enumerate(_outputs_by_name(model).items()):
        _check_logits_of(output, _part_of(model.loss, key, number))


def _check_logits_of(output, loss):
    layer, node, _ = output._keras_history
    if isinstance(layer, TimeAverage):
        (received, *_) = getattr(layer._inbound_nodes[node], "input_tensors" if IS_KERAS_3 else "keras_inputs")
        layer = received._keras_history[0]
    loss = _loss_of(loss)
    settings = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    kind = type(loss) if settings else loss
    name = getattr(kind, "__name__", "")
    crossentropy = "crossentropy" in name.lower() and kind is getattr(keras.losses, name, None)
    if isinstance(layer, Readout) and crossentropy and not settings.get("from_logits", False):
        raise ValueError(
            f"loss must have from_logits=True, as the outputs of {layer.name!r}, a Readout, are no probabilities; "
            f"received {name}. Take an object such as keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )


def _check_target(name, values, weight, output, loss):
    """Raises for the targets of one output, see `_targets_of`."""
    asked = _asked_of_targets(loss)
    if asked is None:
        return
    if values is None:
        raise ValueError(f"{name} must have the targets of the loss that compile was given; received None.")
    if not tf.TensorShape(values.shape).rank or getattr(values, "dtype", None) is None:
        return
    dtype = getattr(values.dtype, "name", str(values.dtype))
    words = dtype.startswith(("str", "bytes"))
    if dtype == "object":  # of pandas, or by hand
        words = any(isinstance(each, (str, bytes)) for each in np.ravel(np.asarray(values))[:1])
    if words:
        advice = "names, y = np.unique(y, return_inverse=True) numbers the names, 0, 1, 2, ..."
        advice += ", and keras.utils.to_categorical(y) makes vectors of these." if asked == "one-hot" else "."
        raise ValueError(f"{name} must be numbers; received dtype {dtype}. {advice}")
    if dtype == "object":
        raise ValueError(f"{name} must be numbers; received dtype object. y.astype('float32') makes them so.")
    if output is None or len(output) < 2:
        return
    shape = tuple(values.shape)
    if getattr(weight, "shape", None):
        _check_weight(name.replace("y", "sample_weight", 1), tuple(weight.shape), shape[0], output)
    if problem := _problem_of_shape(asked, shape, output):
        needed, advice = problem
        raise ValueError(f"{name} must have {needed}; received shape {shape}.{advice}")
    if asked == "numbers":
        _check_class_numbers(name, values, weight, loss, output[-1])


def _check_weight(name, shape, examples, output):
    """Raises for the shape of sample weights that do not fit the answers of an output, or the number of targets."""
    if IS_KERAS_3 and len(output) > 2 and len(shape) == 1 != shape[0]:
        raise ValueError(
            f"{name} must have shape [examples, 1] or [examples, steps] for answers at every step, as Keras would take "
            f"one axis for the steps; received shape {shape}. sample_weight[:, None] are weights of the examples."
        )
    answers, given = (examples, *output[1:-1]), shape
    while len(given) > 1 and given[-1] == 1:
        given = given[:-1]
    if not tf.TensorShape(given).is_compatible_with(answers[: len(given)]):
        raise ValueError(
            f"{name} must have shape {_text(answers)}, one weight for each answer of the model, and as many examples "
            f"as the targets ({examples}); received shape {shape}."
        )


def _loss_of(loss):
    """The function or object that a word stands for; None for one that Keras does not know."""
    if not isinstance(loss, str):
        return loss
    try:
        return keras.losses.get(loss)
    except ValueError:
        return None


def _outputs_by_name(model):
    """The symbolic outputs by their names, a dict; empty for a subclassed model."""
    outputs = getattr(model, "outputs", None) or []
    if isinstance(named := getattr(model, "output", None), dict):  # a sequential model may have none yet
        return named
    return dict(zip(getattr(model, "output_names", None) or range(len(outputs)), outputs))


def _asked_of_targets(loss):
    """The key of `LOSSES`; None for a user's own loss, or one with another axis."""
    loss = kind = _loss_of(loss)
    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        if loss.get_config().get("axis", -1) != -1:
            return None
    asked = (word for word, names in LOSSES.items() if any(kind is getattr(keras.losses, name) for name in names))
    return next(asked, None)


def _targets_of(model, name, y, weight):
    """Yields `(name, values, weight, shape of the output, loss)` for each output whose target and loss are known.

    The values may be a `tf.TensorSpec`; the weight is None for 1 or unknown, and the shape where it is not known.
    """
    outputs, losses = getattr(model, "outputs", None) or [], model.loss
    if len(outputs) > 1:
        for number, (key, output) in enumerate(_outputs_by_name(model).items()):
            target, target_weight, loss = (_part_of(structure, key, number) for structure in (y, weight, losses))
            if loss is not None and (y is None or hasattr(target, "shape")):
                yield f"{name}, of the output {key!r},", target, target_weight, tuple(output.shape), loss
        return
    y, losses, weight = (tf.nest.flatten(each) for each in (y, losses, weight))
    if len(y) == len(losses) == len(weight) == 1 and (y[0] is None or hasattr(y[0], "shape")):
        yield name, y[0], weight[0], tuple(outputs[0].shape) if outputs else None, losses[0]


def _part_of(structure, key, number):
    """The entry of a dict by key, or of a list by number; anything else is for all outputs."""
    if isinstance(structure, dict):
        return structure.get(key)
    if isinstance(structure, (list, tuple)):
        return structure[number] if number < len(structure) else None
    return structure


def _problem_of_shape(asked, shape, output):
    """`(the shape that is needed, advice)`; None for a shape that fits, and for one that Keras judges."""
    answers, classes = output[:-1], output[-1]
    column = len(shape) == len(output) and shape[-1] == 1
    numbers = shape[:-1] if column else shape
    if asked == "numbers" and not _fits(numbers, answers):
        what = "the number of a class for each answer of the model"
        if not column and _fits(shape, output) and shape[-1] == classes:
            advice = " Vectors with a 1 for the class go with CategoricalCrossentropy; "
            return f"{what}, shape {_text(answers)}", f"{advice}y.argmax(-1) makes numbers of them."
        return f"shape {_text(answers)}, {what}", _steps_or_sequences(numbers, output)
    if asked == "one-hot" and not _fits(shape, output):
        what = "a vector for each answer of the model"
        if classes != 1 and _fits(numbers, answers):
            advice = " The numbers of classes go with SparseCategoricalCrossentropy; "
            to_vectors = f"keras.utils.to_categorical(y, {classes}) makes vectors of them."
            return f"{what}, shape {_text(output)}", advice + to_vectors
        if len(shape) != len(output):
            return f"shape {_text(output)}, {what}", _steps_or_sequences(shape[:-1], output)
    if asked == "values" and not _fits(shape, output) and not (classes in (1, None) and _fits(shape, answers)):
        what = "a value for each output of the model"
        return f"shape {_text(output)}, {what}", _steps_or_sequences(shape[:-1] or shape, output)
    return None


def _steps_or_sequences(shape, output):
    """Advice for a model that answers at every step and should answer once, or the other way round."""
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


def _check_class_numbers(name, values, weight, loss, classes):
    """Raises for class numbers out of range. NaN, targets of weight 0 and the class to ignore are left out."""
    if isinstance(values, tf.TypeSpec) or classes is None:
        return
    values = np.asarray(values)
    if values.dtype.kind not in "iufb":
        return
    counts = np.isfinite(values)
    if weight is not None:
        weight = np.asarray(weight)
        weight = weight[..., 0] if weight.ndim > values.ndim else weight
        counts = counts & (np.reshape(weight, (*weight.shape, *[1] * (values.ndim - weight.ndim))) != 0)
    ignored = loss.get_config().get("ignore_class") if isinstance(loss, keras.losses.Loss) else None
    if ignored is not None:
        counts = counts & (values != ignored)
    values = values[np.broadcast_to(counts, values.shape)]
    if values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    if low < 0 or high >= classes:
        advice = "np.unique(y, return_inverse=True)[1] numbers the classes that there are."
        if low >= 1 and high == classes:
            advice = "Subtract 1: y - 1."
        elif low >= 0:
            advice = f"Give the readout {int(high) + 1} units, one for each class. Or {advice}"
        raise ValueError(
            f"{name} must be the numbers of classes, 0 to {classes - 1}, as the model has {classes} outputs; "
            f"received {low:g} to {high:g}. {advice}"
        )
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise ValueError(
            f"{name} must be the numbers of classes, which are whole; received fractions from {low:g} to "
            f"{high:g}. For a regression take the loss 'mse'."
        )


def _fits(shape, output):
    """True if a target's shape is that of an output, as far as both are known and but for the batch."""
    return tf.TensorShape(shape)[1:].is_compatible_with(output[1:]) and len(shape) == len(output)


def _text(shape):
    """A shape in words, whose first axis is the batch."""
    return f"[{', '.join(['examples', *('any' if each is None else str(each) for each in shape[1:])])}]"
