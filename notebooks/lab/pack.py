"""Makes a pretrained network, `kernl_keras.load_pretrained(NAME)`, of a finished run.

python -m notebooks.lab.pack RUN_DIR NAME
"""

import argparse
import dataclasses
import json
import pathlib
import sys

import numpy as np

from kernl_keras import cli
from kernl_keras.experiments.experiment import SOURCES
from kernl_keras.experiments.files import MODEL, RESULTS, read_json, whole
from kernl_keras.experiments.packaged import FOLDER, variables
from kernl_keras.experiments.run import read_config
from kernl_keras.keras_version import keras


def pack(run_dir, name):
    """Makes a network of a finished run.

    Args:
        run_dir: `pathlib.Path` of the run's directory.
        name: of the network.
    """
    FOLDER.mkdir(exist_ok=True)
    model = keras.models.load_model(str(run_dir / MODEL))
    trained = read_config(run_dir)
    # data that the package has, where it has some: nothing is downloaded unless one asks for it
    experiment = dataclasses.replace(trained, source=SOURCES[trained.task][0], data_dir=None)
    results = {key: value for key, value in read_json(run_dir / RESULTS).items() if key != "curve"}
    results["data"] = results["data"].replace(f"{trained.data_dir}/", "")  # a folder of the machine that trained
    with whole(FOLDER / f"{name}.npz") as part:
        np.savez_compressed(
            part,
            experiment=json.dumps(dataclasses.asdict(experiment)),
            record=json.dumps(results),
            input_shape=model.input_shape[1:],
            **{key: variable.numpy() for key, variable in variables(model).items()},
        )


def main(arguments=None):
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.pack", description=__doc__.splitlines()[0])
    parser.set_defaults(run=lambda options, command: pack(options.run_dir, options.name))
    parser.add_argument("run_dir", type=pathlib.Path, metavar="RUN_DIR", help="directory of the run")
    parser.add_argument("name", metavar="NAME", help="of the network")
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
