"""Checks of the data for `fit` and its like before anything is traced. Errors say what is wrong and what to do.

Only data that cannot run, or cannot be meant, are refused. A `tf.data.Dataset` is checked by its shapes and dtypes, and
no element is taken; a generator is not checked. Ragged and sparse tensors are left to the layers.
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
from ..layers.stateful import StatefulLayer
from ..layers.time_average import TimeAverage
from .state import layer_states
from .target_checks import check_targets

ORDERED = tf.data.Dataset, tf.distribute.DistributedDataset, types.GeneratorType  # `fit` cannot shuffle them
SEQUENCES = (
    "Fill them up with keras.utils.pad_sequences(x, dtype='float32', padding='post'), and put a keras.layers.Masking() "
    "first in the model, which leaves out the steps that are 0."
)


def check_data(model, method, args, kwargs):
    """Raises a ValueError for data that do not go with the model; returns the arguments of the method by name."""
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
    spec = x.element_spec if isinstance(x, tf.data.Dataset) else ()
    if weights is not None and isinstance(spec, tuple) and len(spec) == 3:
        raise ValueError(
            "class_weight must be None for data with sample weights, as of kernl_keras.data.full_batches; received "
            f"{weights!r}. Multiply it into them, as by data.map(lambda x, y, w: (x, y, w * tf.gather([0.5, 2.0], y)))."
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


def _check_part(model, x, y, weight, ending, targets=True):
    """Raises for x and y that do not fit the model. `ending` completes their names in messages."""
    if isinstance(x, tf.data.Dataset):
        ending = ending or " of the data set"
        spec = x.element_spec
        x, y, weight = keras.utils.unpack_x_y_sample_weight(spec if isinstance(spec, tuple) else (spec,))
        needed = _static_batch(model)
        for each in tf.nest.flatten(x):
            batch = each.shape[0] if len(getattr(each, "shape", None) or ()) else None
            if None not in (needed, batch) and batch != needed:
                raise ValueError(
                    f"x{ending} must have batches of {needed} for this model, as the states of its stateful layers are "
                    f"those of {needed} examples; received batches of {batch}. Use data.batch({needed}, "
                    "drop_remainder=True), or kernl_keras.data.full_batches."
                )
    elif x is None or _examples(x) is not None or isinstance(x, (list, tuple)):
        _check_inputs(model, f"x{ending}", x)
    else:
        return  # a generator, or something else that makes batches
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) == 1 and len(getattr(x, "shape", None) or ()) == len(inputs[0].shape) == 3:  # of two, one is time
        check_last_axis(f"x{ending}", tuple(x.shape), inputs[0].shape[-1])  # TensorFlow knows only in its first step
    if targets:
        if isinstance(y, (list, tuple)):
            _check_list(f"y{ending}", y, taken=isinstance(x, list))
        check_targets(model, f"y{ending}", y, weight)


def show_data(given):
    """Gives callbacks x and the validation data, by `set_training_data` and `set_validation_data` where they have them.

    Both are as they were given to `fit`; a `validation_split` holds out the last examples, before `fit` shuffles.
    """
    x, data, share = given.get("x"), given.get("validation_data"), given.get("validation_split")
    if data is None and share and _examples(x) is not None:  # of anything else Keras says that it cannot be split
        first = math.floor(len(tf.nest.flatten(x)[0]) * (1.0 - share))
        data = tf.nest.map_structure(lambda array: None if array is None else array[first:], (x, given.get("y")))
    callbacks = given.get("callbacks")
    for callback in tf.nest.flatten(getattr(callbacks, "callbacks", callbacks)):
        if hasattr(callback, "set_validation_data"):
            callback.set_validation_data(data)
        if hasattr(callback, "set_training_data"):
            callback.set_training_data(x)


def check_dt(model):
    """Warns if the cells in a Keras model's layers have different `dt`: usually one was left at its default."""
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


def check_stateful(model, given):
    """Warns of layers that begin new sequences in each batch of a stream, or while others continue those before.

    Also of batches that are shuffled and cannot continue each other. `given` are the arguments of `fit` by name.
    """
    x, batch = given.get("x"), _static_batch(model)
    learned_from = (_examples(x) or 0) * (1.0 - (given.get("validation_split") or 0.0))
    if batch is not None and learned_from > batch and given.get("shuffle", True):
        warnings.warn(
            "shuffle should be False where layers have stateful=True and x is an array: they continue each row of a "
            f"batch in the next, and fit shuffles the examples. Example n + {batch} should continue example n.",
            stacklevel=2,
        )
    layers = [layer for layer in sublayers(model) if isinstance(layer, (keras.layers.RNN, StatefulLayer))]
    # The mean over a piece may be meant.
    forget = [layer.name for layer in layers if not layer.stateful and not isinstance(layer, TimeAverage)]
    if forget and (getattr(x, "rows_continue", False) or any(layer.stateful for layer in layers)):
        warnings.warn(
            "All layers with states should have stateful=True where a batch continues the sequences of the one before; "
            f"received stateful=False in {', '.join(map(repr, forget))}, which begin new sequences in every batch.",
            stacklevel=2,
        )


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
            raise ValueError(
                f"{name} must be numbers; received dtype object. {name[0]}.astype('float32') makes them so."
            )
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
    lengths = {len(sequence) for sequence in sequences if np.ndim(sequence) or isinstance(sequence, (list, tuple))}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} must be one array [examples, time, features]; received {len(sequences)} sequences with "
            f"{min(lengths)} to {max(lengths)} steps. {SEQUENCES}"
        )


def _check_list(name, values, taken):
    """Raises for a list of plain numbers or words, which Keras takes apart; not if `taken`, in Keras 2."""
    first = next(iter(tf.nest.flatten(values)), None)
    if isinstance(first, (int, float, str, np.generic)):
        if name.startswith("x"):
            _check_lengths(name, values)
        if IS_KERAS_3 or not taken:
            raise ValueError(
                f"{name} must be an array or a tensor; received a {type(values).__name__} of {len(values)}. "
                f"np.array({name[0]}) makes one of it."
            )


def _static_batch(model):
    """The batch size of a stateful model; None for any."""
    states = [state for _, state in layer_states(model) if len(state.shape)]
    if not states or model.distribute_strategy.num_replicas_in_sync > 1:
        return None
    sizes = {x.shape[0] for x in getattr(model, "inputs", None) or states}
    return sizes.pop() if len(sizes) == 1 else None


def _check_batches(model, name, count, batch, steps, targets=True):
    """Raises where a stateful model would get a batch of another size from `count` examples, None if unknown.

    `batch` is the name and value of the argument for it, None if all examples are one batch.
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
    reason = f"for this model, as the states of its stateful layers are those of {needed} examples"
    anew = (
        "For another batch size build the model anew with it, and take the weights over by "
        "set_weights(model.get_weights())."
    )
    if argument is not None and size != needed and count >= needed:
        default = " (Keras takes 32)" if received is None else ""
        raise ValueError(f"{argument} must be {needed} {reason}; received {received!r}{default}. {anew}")
    rest = count % needed if batch else count - needed  # of a single batch all that is too much
    advice = [f"leave out the last {rest}, x[:{count - rest}]"] * (count > needed)
    if batch or count < needed:
        unheard = "examples that have a sample_weight of 0, as kernl_keras.data.full_batches does"
        if not targets:
            unheard = "other examples, and leave out what is predicted for these"
        advice.append(f"fill up with {-count % needed} {unheard}")
    raise ValueError(
        f"{name} must have {'a multiple of ' if batch else ''}{needed} examples {reason}; received {count}. "
        f"{' or '.join(advice).capitalize()}. {anew}"
    )
