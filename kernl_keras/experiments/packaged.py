"""The files of the networks that come with the package, and a run that begins with one of them."""

import pathlib

from ..archives import read_arrays
from ..checks import one_of
from ..keras_version import short_name

FOLDER = pathlib.Path(__file__).parent / "networks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
OF_A_RULE = {"sensitivity_tensor", "temporal_filter", "draws"}  # weights that no answer depends on


def read(name):
    """What the file of a network holds, `{name: array}`."""
    return read_arrays(FOLDER / f"{one_of('name', name, NAMES)}.npz", "Install kernl_keras again.")


def variables(model):
    """`{"layer/weight": variable}`, the same names in every Keras."""
    return {f"{layer.name}/{short_name(weight)}": weight for layer in model.layers for weight in layer.weights}


def start_from(name, model):
    """Gives a model the numbers of a packaged network.

    Constants that only the model learns stay as they are, and M is left out where the model's rule has none.

    Args:
        name: of the network.
        model: `Model` of the same layers.

    Raises:
        ValueError: for a model that has other layers, or of another size.
    """
    file, own = read(name), variables(model)
    shapes = {key: value.shape for key, value in file.items() if "/" in key}
    shapes = {key: shape for key, shape in shapes.items() if key in own or key.split("/")[1] not in OF_A_RULE}
    for key, shape in shapes.items():
        found = tuple(own[key].shape) if key in own else None
        if found != shape:
            has = "has none" if found is None else f"has shape {found}"
            raise ValueError(
                f"start must be a network of the experiment's layers, sizes and learned constants; received {name!r}, "
                f"whose {key} has shape {shape}, while the experiment {has}."
            )
    for key in shapes:
        own[key].assign(file[key])
