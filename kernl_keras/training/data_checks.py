"""Checks of the data for `fit` and its like before anything is traced. Errors say what is wrong and what to do.

Only data that cannot run, or cannot be meant, are refused. A `tf.data.Dataset` is checked by its shapes and dtypes, and
no element is taken; a generator is not checked. Ragged and sparse tensors are left to the layers. Targets are checked
for Keras' own losses alone, because other losses may need anything.
"""

import inspect
import math
import types
import warnings

import numpy as np
import tensorflow as tf

from ..checks import check_last_axis
from ..keras_version import IS_KERAS_3, keras
from ..layers.names import sublayers
from .state import layer_states

ORDERED = tf.data.Dataset, tf.distribute.DistributedDataset, types.GeneratorType  # `fit` cannot shuffle them
SEQUENCES = (
    "Fill them up with keras.utils.pad_sequences(x, dtype='float32', padding='post'), and put a keras.layers.Masking() "
    "first in the model, which leaves out the steps that are 0."
)
LOSSES = {  # Keras' losses by the kind of targets that they need
    "numbers": ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
    "one-hot": ("CategoricalCrossentropy", "categorical_crossentropy"),
    "values": ("MeanSquaredError", "mean_squared_error", "MeanAbsoluteError", "mean_absolute_error", "Huber", "huber",
               "BinaryCrossentropy", "binary_crossentropy"),
}  # fmt: skip


def check_data(model, method, args, kwargs):
    """Raises a ValueError for data that the model cannot run with or learn from; returns all arguments by name.

    `args` and `kwargs` are those of `fit`, `evaluate`, `predict`, or one of these on a batch.
    """
    signature = inspect.signature(method)
    given, targets = signature.bind(*args, **kwargs).arguments, "y" in signature.parameters
    if kwargs.get("_use_cached_eval_dataset"):  # `fit` validates, and has looked at it
        return given
    x, validation = given.get("x"), given.get("validation_data")
    _check_part(model, x, given.get("y"), given.get("sample_weight"), "", targets)
    batch = None if method.__name__.endswith("on_batch") else ("batch_size", given.get("batch_size"))
    steps, count = given.get("steps_per_epoch") or given.get("steps"), _examples(x)
    if count == 0:
        raise ValueError(f"x must have at least one example; received {tf.nest.flatten(x)[0].shape}.")
    weights = given.get("class_weight")
    if weights is not None and any(len(output.shape) > 2 for output in getattr(model, "outputs", None) or ()):
        raise ValueError(
            "class_weight must be None for answers at every step, as Keras looks for the class on the axis of the "
            f"steps; received {weights!r}. Give the weights of the steps, sample_weight [examples, steps]."
        )
    if count and (split := given.get("validation_split")):
        learned_from = math.floor(count * (1.0 - split))
        _check_batches(model, "x without its validation_split", learned_from, batch, steps)
        _check_batches(model, "the validation_split of x", count - learned_from, batch, steps)
    else:
        _check_batches(model, "x", count, batch, steps, targets)
    if isinstance(validation, tf.data.Dataset):
        _check_part(model, validation, None, None, " of validation_data")
    elif isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        _check_part(model, *validation, *[None] * (3 - len(validation)), " of validation_data")
        size = given.get("validation_batch_size")
        batch = ("validation_batch_size", size) if size else batch
        _check_batches(model, "x of validation_data", _examples(validation[0]), batch, given.get("validation_steps"))
    return given


def _check_part(model, x, y, weight, of, targets=True):
    """Raises for x and y that do not fit the model. `of` completes their names in messages."""
    if isinstance(x, tf.data.Dataset):
        of = of or " of the data set"
        spec = x.element_spec
        x, y, weight = keras.utils.unpack_x_y_sample_weight(spec if isinstance(spec, tuple) else (spec,))
        needed = _static_batch(model)
        for each in tf.nest.flatten(x):
            batch = each.shape[0] if len(getattr(each, "shape", None) or ()) else None
            if None not in (needed, batch) and batch != needed:
                raise ValueError(
                    f"x{of} must have batches of {needed} for this model, as the states of its stateful layers are "
                    f"those of {needed} examples; received batches of {batch}. Use data.batch({needed}, "
                    "drop_remainder=True), or kernl_keras.data.full_batches."
                )
    elif x is None or _examples(x) is not None or isinstance(x, (list, tuple)):
        _check_inputs(model, f"x{of}", x)
    else:
        return  # a generator, or something else that makes batches
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) == 1 and len(getattr(x, "shape", None) or ()) == len(inputs[0].shape):
        check_last_axis(f"x{of}", tuple(x.shape), inputs[0].shape[-1])  # which TensorFlow knows in its first step only
    if targets:
        if isinstance(y, (list, tuple)):
            _check_list(f"y{of}", y, taken=isinstance(x, list))
        _check_targets(model, f"y{of}", y, weight)


def show_data(given):
    """Calls `set_validation_data(data)` and `set_training_data(x)` of every callback that has them.

    `data` is `validation_data` as it was given, or `(x, y)` of the last examples, which `validation_split` holds out
    before `fit` shuffles, or None; x is the first argument as it was given.
    """
    x, data, share = given.get("x"), given.get("validation_data"), given.get("validation_split")
    if data is None and share:
        first = math.floor(len(tf.nest.flatten(x)[0]) * (1.0 - share))
        data = tf.nest.map_structure(lambda array: None if array is None else array[first:], (x, given.get("y")))
    callbacks = given.get("callbacks")
    for callback in tf.nest.flatten(getattr(callbacks, "callbacks", callbacks)):
        if hasattr(callback, "set_validation_data"):
            callback.set_validation_data(data)
        if hasattr(callback, "set_training_data"):
            callback.set_training_data(x)


def check_dt(model):
    """Warns if the cells in a Keras model's layers have different `dt`, and names the layers.

    A step of a sequence is a step of every layer. So different values usually mean that one cell was left at its
    default. They are right only if a layer in between changes the number of steps, which no cell can know.
    """
    names_by_dt = {}
    for layer in sublayers(model):
        if isinstance(layer, keras.layers.RNN):
            for cell in getattr(layer.cell, "cells", [layer.cell]):
                if hasattr(cell, "dt"):
                    names_by_dt.setdefault(cell.dt, []).append(layer.name)
    if len(names_by_dt) > 1:
        groups = sorted(names_by_dt.items())
        listed = "; ".join(f"dt = {dt:g} ms in {', '.join(map(repr, names))}" for dt, names in groups)
        warnings.warn(
            f"All cells should have the same dt, the time of one step, unless a layer between them changes the number "
            f"of steps; received {listed}.",
            stacklevel=2,
        )


# Inputs


def _examples(x):
    """The number of examples in arrays or tensors, or in a structure of them; None for anything else."""
    leaves = tf.nest.flatten(x)
    if not leaves or not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
        return None
    return leaves[0].shape[0]


def _check_inputs(model, name, x):
    """Raises for a missing input, and for lists of sequences in place of one array."""
    inputs = getattr(model, "inputs", None) or ([None] if isinstance(model, keras.Sequential) else [])
    if x is None and inputs:
        raise ValueError(f"{name} must be an array or a tensor [examples, time, features]; received None.")
    for leaf in tf.nest.flatten(x):
        if isinstance(leaf, np.ndarray) and leaf.dtype == object:
            _check_lengths(name, list(leaf))
    if not isinstance(x, (list, tuple)):
        return
    if len(x) > 1 and _examples(x) is not None and len(inputs) == 1:
        _check_lengths(name, x)
        raise ValueError(
            f"{name} must be one array [examples, time, features], as the model has one input; received a "
            f"{type(x).__name__} of {len(x)}. Put them together with np.stack(x)."
        )
    _check_list(name, x, taken=True)


def _check_lengths(name, sequences):
    """Raises for sequences of different lengths."""
    lengths = {len(sequence) for sequence in sequences if np.ndim(sequence) or isinstance(sequence, (list, tuple))}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} must be one array [examples, time, features]; received {len(sequences)} sequences with "
            f"{min(lengths)} to {max(lengths)} steps. {SEQUENCES}"
        )


def _check_list(name, values, taken):
    """Raises for a list of plain numbers or words, which Keras takes apart; not if `taken`, in Keras 2."""
    first = next(iter(tf.nest.flatten(values)), None)
    if isinstance(first, (int, float, str)):
        if name.startswith("x"):
            _check_lengths(name, values)
        if IS_KERAS_3 or not taken:
            raise ValueError(
                f"{name} must be an array or a tensor; received a {type(values).__name__} of {len(values)}. "
                f"np.array({name[0]}) makes one of it."
            )


# Batches of stateful models


def _static_batch(model):
    """The batch size of a stateful model; None for any."""
    states = [state for _, state in layer_states(model) if len(state.shape)]
    if not states or model.distribute_strategy.num_replicas_in_sync > 1:
        return None
    sizes = {x.shape[0] for x in getattr(model, "inputs", None) or states}
    return sizes.pop() if len(sizes) == 1 else None


def _check_batches(model, name, count, batch, steps, targets=True):
    """Raises where a stateful model would get a batch of another size from `count` examples, None if unknown.

    `batch` has name and value of the batch size argument, None if all examples are one batch; `steps` is the number of
    batches to use, None for all; without `targets` there are no weights.
    """
    needed = _static_batch(model)
    if needed is None or not count:
        return
    argument, received = batch or (None, count)
    size = 32 if received is None else received
    if not isinstance(size, (int, np.integer)) or size < 1:  # Keras says what it thinks of it
        return
    if min(size, count) == needed and (steps or count <= size or count % size == 0):
        return
    made_for = f"for this model, as the states of its stateful layers are those of {needed} examples"
    anew = (
        "For another batch size build the model anew with it, and take the weights over by "
        "set_weights(model.get_weights())."
    )
    if argument is not None and size != needed and count >= needed:
        default = " (Keras takes 32)" if received is None else ""
        raise ValueError(f"{argument} must be {needed} {made_for}; received {received!r}{default}. {anew}")
    rest = count % needed if batch else count - needed  # of a single batch all that is too much
    advice = [f"leave out the last {rest}, x[:{count - rest}]"] * (count > needed)
    if batch or count < needed:
        unheard = "examples that have a sample_weight of 0, as kernl_keras.data.full_batches does"
        if not targets:
            unheard = "other examples, and leave out what is predicted for these"
        advice.append(f"fill up with {-count % needed} {unheard}")
    raise ValueError(
        f"{name} must have {'a multiple of ' if batch else ''}{needed} examples {made_for}; received {count}. "
        f"{' or '.join(advice).capitalize()}. {anew}"
    )


# Targets


def _check_targets(model, name, y, weight):
    """Raises for targets, or their `tf.TensorSpec`, that do not fit the compiled losses.

    Models with a training step of their own are not checked.
    """
    rooms = {method.__module__.split(".")[0] for method in (type(model).compute_loss, type(model).train_step)}
    if getattr(model, "loss", None) is None or not rooms <= {"keras", "tf_keras", "kernl_keras"}:
        return
    for target in _targets_of(model, name, y, weight):
        _check_target(*target)


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
    words = dtype == "string" or dtype.startswith(("str", "bytes"))
    if dtype == "object":  # of pandas, or by hand
        words = any(isinstance(each, (str, bytes)) for each in np.ravel(np.asarray(values))[:1])
    if words:
        advice = "names, y = np.unique(y, return_inverse=True) numbers the names, 0, 1, 2, ..."
        advice += ", and keras.utils.to_categorical(y) makes vectors of these." if asked == "one-hot" else "."
        raise ValueError(f"{name} must be numbers; received dtype {dtype}. {advice}")
    if output is None or len(output) < 2:
        return
    if IS_KERAS_3 and len(output) > 2 and len(getattr(weight, "shape", ())) == 1 != weight.shape[0]:
        raise ValueError(
            f"{name.replace('y', 'sample_weight', 1)} must have shape [examples, 1] or [examples, steps] for answers "
            f"at every step, as Keras would take one axis for the steps; received shape {tuple(weight.shape)}. "
            "sample_weight[:, None] are weights of the examples."
        )
    shape = tuple(values.shape)
    if problem := _problem_of_shape(asked, shape, output):
        needed, advice = problem
        raise ValueError(f"{name} must have {needed}; received shape {shape}.{advice}")
    if asked == "numbers":
        _check_class_numbers(name, values, weight, loss, output[-1])


def _asked_of_targets(loss):
    """The key of `LOSSES`; None for a user's own loss, or one with another axis."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:  # Keras says that it does not know it
            return None
    kind = loss
    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        if loss.get_config().get("axis", -1) != -1:
            return None
    asked = (word for word, names in LOSSES.items() if any(kind is getattr(keras.losses, name) for name in names))
    return next(asked, None)


def _targets_of(model, name, y, weight):
    """Yields `(name, values, weight, shape of the output, loss)` for each output whose target and loss are known.

    The name is for messages; the values are an array, a tensor or the `tf.TensorSpec` of one; the weight is None for 1
    or unknown; the shape is None where it is not known.
    """
    outputs, losses = getattr(model, "outputs", None) or [], model.loss
    if len(outputs) > 1:
        named = model.output if isinstance(model.output, dict) else dict(zip(model.output_names, outputs))
        for number, (key, output) in enumerate(named.items()):
            target, of_target, loss = (_part_of(structure, key, number) for structure in (y, weight, losses))
            if loss is not None and (y is None or hasattr(target, "shape")):
                yield f"{name}, of the output {key!r},", target, of_target, tuple(output.shape), loss
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
    if asked == "values" and len(output) == 3 and (len(shape) == 1 or (len(shape) == 2 and classes not in (1, None))):
        what = "as the model answers at every step"
        return f"shape {_text(output)}, {what}", _steps_or_sequences(shape[:1], output)
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
