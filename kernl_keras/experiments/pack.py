"""Makes a network of `networks` from a finished run: `python -m kernl_keras.experiments.pack RUN_DIR NAME`."""

import dataclasses
import json
import pathlib
import sys

import numpy as np

from ..keras_version import keras
from .files import MODEL, RESULTS, read_json, whole
from .pretrained import FOLDER, variables
from .run import read_config


def pack(run_dir, name, folder=FOLDER):
    """Makes a network of a finished run.

    Args:
        run_dir: directory of the run.
        name: of the network.
        folder: where it goes.
    """
    run_dir, folder = pathlib.Path(run_dir), pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    model = keras.models.load_model(str(run_dir / MODEL))
    experiment = dataclasses.replace(read_config(run_dir), source="sample", data_dir=None)
    results = {key: value for key, value in read_json(run_dir / RESULTS).items() if key != "curve"}
    with whole(folder / f"{name}.npz") as part:
        np.savez_compressed(
            part,
            experiment=json.dumps(dataclasses.asdict(experiment)),
            record=json.dumps(results),
            input_shape=model.input_shape[1:],
            **{key: variable.numpy() for key, variable in variables(model).items()},
        )


if __name__ == "__main__":
    pack(*sys.argv[1:3])
