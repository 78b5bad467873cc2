"""Trained networks that come with the package: weights, configuration and results of a run, without code."""

import json

from ..training.model import Model
from .build import assemble
from .experiment import Experiment
from .packaged import read, variables
from .report import print_test
from .run import load_data


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
    file = read(name)
    experiment = Experiment(**json.loads(str(file["experiment"])))
    time_steps, features = map(int, file["input_shape"])
    # not `build_model`: nobody's random state is reset
    model = assemble(experiment, time_steps, features, total_steps=experiment.steps or 1)
    for variable_name, variable in variables(model).items():
        variable.assign(file[variable_name])
    return model


def record(name="smnist"):
    """What the run that trained the network wrote: test accuracy, seed, command, git revision and so on, a dict."""
    return json.loads(str(read(name)["record"]))


def experiment_of(name):
    """The `Experiment` that trained the network."""
    return Experiment(**json.loads(str(read(name)["experiment"])))


def evaluate_pretrained(name, experiment, verbose="auto"):
    """Tests a network that comes with the package; returns a dict of the loss and the metrics.

    Args:
        name: of the network.
        experiment: `Experiment` whose test set to take.
        verbose: as in `keras.Model.evaluate`.
    """
    data = load_data(experiment)
    print(f"Network    {name}: {experiment.summary()}")
    print(f"Data       {data.description}")
    test = load_pretrained(name).evaluate(data.test, return_dict=True, verbose=verbose)
    print_test(experiment, test)
    return test
