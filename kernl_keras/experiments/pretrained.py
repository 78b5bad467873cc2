"""Trained networks that come with the package: weights, configuration and results of a run, without code."""

import json

from ..archives import read_arrays
from ..checks import one_of
from ..keras_version import short_name
from ..training.model import Model
from .build import assemble
from .experiment import FOLDER, NETWORKS, Experiment

OF_A_RULE = {"sensitivity_tensor", "temporal_filter", "draws"}  # weights that no answer depends on


def load_pretrained(name: str = "smnist") -> Model:
    """A trained network that comes with the package.

    Args:
        name: "smnist" (handwritten digits, one pixel a step), "psmnist" (their pixels in a random order), "ecg" (parts
            of a heartbeat) or "spoken-digits".

    Returns:
        `Model`, compiled as it was trained, its optimizers as new. It takes x of `kernl_keras.data.sequential_mnist()`
        (with `order="permuted"` for "psmnist") [B, 838, 2], of `kernl_keras.data.ecg()` [B, 1301, 4], or of
        `kernl_keras.data.spoken_digits(front_end=...)` [B, 100, 40]; the page of trained networks says how each was
        trained.

    Raises:
        ValueError: for an unknown name.
        OSError: for a damaged file; the message names it.

    Example:

    >>> import kernl_keras as kk
    >>> model = kk.load_pretrained("smnist")
    >>> model.input_shape, model.output_shape
    ((None, 838, 2), (None, 10))
    """
    file, experiment = _read(name), experiment_of(name)
    time_steps, features = map(int, file["input_shape"])
    # not `build_model`: nobody's random state is reset
    model = assemble(experiment, time_steps, features, total_steps=experiment.steps or 1)
    for variable_name, variable in variables(model).items():
        variable.assign(file[variable_name])
    return model


def record(name="smnist"):
    """What the run that trained the network wrote: test accuracy, seed, command, git revision and so on, a dict."""
    return json.loads(str(_read(name)["record"]))


def experiment_of(name):
    """The `Experiment` that trained the network."""
    return Experiment(**json.loads(str(_read(name)["experiment"])))


def _read(name):
    """What the file of a network holds, `{name: array}`."""
    return read_arrays(FOLDER / f"{one_of('name', name, NETWORKS)}.npz", "Install kernl_keras again.")


def variables(model):
    """`{"layer/weight": variable}`, the same names in every Keras."""
    return {f"{layer.name}/{short_name(weight)}": weight for layer in model.layers for weight in layer.weights}


def start_from(name, model):
    """Gives a model the numbers of a packaged network; a `ValueError` for one of other layers or sizes.

    Constants that only the model learns stay as they are, and M is left out where the model's rule has none.
    """
    file, own = _read(name), variables(model)
    names = [key for key in file if "/" in key and (key in own or key.split("/")[1] not in OF_A_RULE)]
    for key in names:
        shape = tuple(own[key].shape) if key in own else None
        if shape != file[key].shape:
            has = "has none" if shape is None else f"has shape {shape}"
            raise ValueError(
                f"start must be a network of the experiment's layers, sizes and learned constants; received {name!r}, "
                f"whose {key} has shape {file[key].shape}, while the experiment {has}."
            )
    for key in names:
        own[key].assign(file[key])
