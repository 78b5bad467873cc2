"""The first examples of any data that `fit` takes."""

import tensorflow as tf

from ..keras_version import keras


def first_examples(data, count=None):
    """The first examples of `data`, as tensors.

    Args:
        data: `(x, y)` or `(x, y, sample_weight)` of arrays or tensors, or of structures of them; a `tf.data.Dataset`
            or a `keras.utils.Sequence` of such batches; or None.
        count: number of examples, from the first batch; None for all of it.

    Returns `(x, y)`; `(None, None)` for None, and for a generator, from which an example read would be lost.

    Example:

    >>> x, y = first_examples(tf.data.Dataset.range(10).map(lambda i: (i, 2 * i)).batch(5), 2)
    >>> x.numpy().tolist(), y.numpy().tolist()
    ([0, 1], [0, 2])
    """
    if isinstance(data, tf.data.Dataset):
        data = next(iter(data.take(1)), None)
    elif isinstance(data, keras.utils.Sequence):
        data = data[0]
    if not isinstance(data, (tuple, list)):
        return None, None
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return tf.nest.map_structure(lambda array: None if array is None else tf.convert_to_tensor(array[:count]), (x, y))


def check_examples(examples):
    """The argument `examples` if it is a number >= 1, a pair or a dataset; else raises a ValueError."""
    pair = isinstance(examples, (tuple, list)) and len(examples) == 2
    if pair or isinstance(examples, tf.data.Dataset):
        return examples
    if isinstance(examples, int) and not isinstance(examples, bool) and examples >= 1:
        return examples
    raise ValueError(f"examples must be an integer >= 1, a batch (x, y) or a tf.data.Dataset; received {examples!r}.")


def fixed_examples(model, examples, validation_data):
    """The examples `(x, y)` for a callback, or `(None, None)`; a model of a fixed batch size gets a batch of that."""
    if not isinstance(examples, int):
        return first_examples(examples)
    size = model.inputs[0].shape[0] if getattr(model, "inputs", None) else None
    return first_examples(validation_data, size or examples)
