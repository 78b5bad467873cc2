"""What `fit` and its like are given, looked at before anything is traced: an error says what is wrong and what to do.

Only what could not run, or could not learn what it says, is refused. Of a `tf.data.Dataset` shapes and dtypes are
known, and no element is taken; of a generator nothing is. Ragged and sparse tensors are left to the layers.
"""

import inspect
import math

import numpy as np
import tensorflow as tf

from ..keras_version import IS_KERAS_3, keras
from .state import layer_states
from .target_checks import check_targets
from .validation import arguments

SEQUENCES = (
    "Fill them up with keras.utils.pad_sequences(x, dtype='float32', padding='post'), and put a keras.layers.Masking() "
    "first in the model, which leaves out the steps that are 0."
)


def check_data(model, method, args, kwargs):
    """Raises a ValueError for data that the model could not be run with, or could not learn from.

    Args:
        model: `Model`.
        method: a method of a Keras model, of the name `fit`, `evaluate`, `predict`, or one of those on a batch.
        args, kwargs: what it is called with.
    """
    if kwargs.get("_use_cached_eval_dataset"):  # `fit` validates, and has looked at it
        return
    given, targets = arguments(method, args, kwargs), "y" in inspect.signature(method).parameters
    x, validation = given.get("x"), given.get("validation_data")
    check_part(model, x, given.get("y"), given.get("sample_weight"), "", targets)
    batch = None if method.__name__.endswith("on_batch") else ("batch_size", given.get("batch_size"))
    steps, count, split = given.get("steps_per_epoch") or given.get("steps"), examples(x), given.get("validation_split")
    if split and count:
        learned_from = math.floor(count * (1.0 - split))
        check_batches(model, "x without its validation_split", learned_from, batch, steps)
        check_batches(model, "the validation_split of x", count - learned_from, batch, steps)
    else:
        check_batches(model, "x", count, batch, steps, targets)
    if isinstance(validation, tf.data.Dataset):
        check_part(model, validation, None, None, " of validation_data")
    elif isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        check_part(model, *validation, *[None] * (3 - len(validation)), " of validation_data")
        size = given.get("validation_batch_size")
        batch = ("validation_batch_size", size) if size else batch
        check_batches(model, "x of validation_data", examples(validation[0]), batch, given.get("validation_steps"))


def check_part(model, x, y, weight, of, targets=True):
    """Raises for x and y that do not fit the model; `of` says in messages where they are from."""
    if isinstance(x, tf.data.Dataset):
        of = of or " of the data set"
        spec = x.element_spec
        x, y, weight = keras.utils.unpack_x_y_sample_weight(spec if isinstance(spec, tuple) else (spec,))
        check_batch_of_dataset(model, f"x{of}", x)
        weight = None
    elif x is None or examples(x) is not None or isinstance(x, (list, tuple)):
        check_inputs(model, f"x{of}", x)
    else:
        return  # a generator, or something else that makes batches
    if targets:
        if isinstance(y, (list, tuple)):
            check_list(f"y{of}", y, taken=isinstance(x, list))
        check_targets(model, f"y{of}", y, weight)


# Inputs


def examples(x):
    """How many examples there are in arrays or tensors, or in a structure of them; None for anything else."""
    leaves = tf.nest.flatten(x)
    if not leaves or not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
        return None
    return leaves[0].shape[0]


def check_inputs(model, name, x):
    """Raises where there is nothing, and for lists of sequences where one array is needed."""
    inputs = getattr(model, "inputs", None) or ([None] if isinstance(model, keras.Sequential) else [])
    if x is None and inputs:
        raise ValueError(f"{name} must be an array or a tensor [examples, time, features]; received None.")
    for leaf in tf.nest.flatten(x):
        if isinstance(leaf, np.ndarray) and leaf.dtype == object:
            check_lengths(name, list(leaf))
    if not isinstance(x, (list, tuple)):
        return
    if len(x) > 1 and examples(x) is not None and len(inputs) == 1:
        check_lengths(name, x)
        raise ValueError(
            f"{name} must be one array [examples, time, features], as the model has one input; received a "
            f"{type(x).__name__} of {len(x)}. Put them together with np.stack(x)."
        )
    check_list(name, x, taken=True)


def check_lengths(name, sequences):
    """Raises where sequences have different lengths."""
    lengths = {len(each) for each in sequences if np.ndim(each) or isinstance(each, (list, tuple))}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} must be one array [examples, time, features]; received {len(sequences)} sequences with "
            f"{min(lengths)} to {max(lengths)} steps. {SEQUENCES}"
        )


def check_list(name, values, taken):
    """Raises for a list of plain numbers or words, which Keras takes apart; Keras 2 not where it is `taken`."""
    first = next(iter(tf.nest.flatten(values)), None)
    if isinstance(first, (int, float, str)):
        if name.startswith("x"):
            check_lengths(name, values)
        if IS_KERAS_3 or not taken:
            raise ValueError(
                f"{name} must be an array or a tensor; received a {type(values).__name__} of {len(values)}. "
                f"np.array({name[0]}) makes one of it."
            )


# Batches of stateful models


def static_batch(model):
    """The batch size that a stateful model is made for; None for any."""
    states = [state for _, state in layer_states(model) if len(state.shape)]
    if not states or model.distribute_strategy.num_replicas_in_sync > 1:
        return None
    sizes = {each.shape[0] for each in getattr(model, "inputs", None) or states}
    return sizes.pop() if len(sizes) == 1 else None


def check_batches(model, name, count, batch, steps, targets=True):
    """Raises where a stateful model would get a batch of another size.

    Args:
        model: `Model`.
        name: of the examples, in messages.
        count: how many there are; None where it is not known.
        batch: name and value of the argument that is the batch size; None where all examples are one batch.
        steps: how many batches are used; None for all.
        targets: whether they have targets, and so may have weights.
    """
    needed = static_batch(model)
    if needed is None or not count:
        return
    argument, received = batch or (None, count)
    size = 32 if received is None else received
    if not isinstance(size, (int, np.integer)) or size < 1:  # Keras says what it thinks of it
        return
    rest = count % size if count > size else 0
    if min(size, count) == needed and (rest == 0 or steps):
        return
    made_for = f"as the states of its stateful layers are those of {needed} examples"
    anew = (
        "For another batch size build the model anew with it, and take the weights over by "
        "set_weights(model.get_weights())."
    )
    if argument is not None and size != needed and count >= needed:
        raise ValueError(f"{argument} must be {needed} for this model, {made_for}; received {received!r}"
                         f"{' (Keras takes 32)' if received is None else ''}. {anew}")  # fmt: skip
    rest = count % needed if batch else count - needed  # of a single batch all that is too much
    advice = [f"leave out the last {rest}, x[:{count - rest}]"] * (count > needed)
    if batch or count < needed:
        unheard = "examples that have a sample_weight of 0, as kernl_keras.data.full_batches does"
        if not targets:
            unheard = "other examples, and leave out what is predicted for these"
        advice.append(f"fill up with {-count % needed} {unheard}")
    raise ValueError(
        f"{name} must have {'a multiple of ' if batch else ''}{needed} examples for this model, {made_for}; received "
        f"{count}. {' or '.join(advice).capitalize()}. {anew}"
    )


def check_batch_of_dataset(model, name, spec):
    """Raises where batches are known to have another size than a stateful model is made for."""
    needed = static_batch(model)
    for each in tf.nest.flatten(spec):
        batch = each.shape[0] if len(getattr(each, "shape", None) or ()) else None
        if None not in (needed, batch) and batch != needed:
            raise ValueError(
                f"{name} must have batches of {needed} for this model, as the states of its stateful layers are "
                f"those of {needed} examples; received batches of {batch}. Use data.batch({needed}, "
                "drop_remainder=True), or kernl_keras.data.full_batches."
            )
