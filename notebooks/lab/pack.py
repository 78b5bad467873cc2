"""Makes a pretrained network, `kernl_keras.load_pretrained(NAME)`, of a finished run.

python -m notebooks.lab.pack RUN_DIR NAME [--calibrate RUN_DIR]

A network of spoken digits needs a second run, of the same settings, that held words back: its answers to them, and to
copies of them by poor recorders, say by which temperature the softmax of its outputs is a share to rely on.
"""

import dataclasses
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from kernl_keras.data.spoken_digits import spoil, spoken_digits
from kernl_keras.data.stream import arrays
from kernl_keras.experiments.build import front_end
from kernl_keras.experiments.experiment import SOURCES
from kernl_keras.experiments.files import MODEL, RESULTS, read_json, whole
from kernl_keras.experiments.pretrained import FOLDER, variables
from kernl_keras.experiments.run import read_config
from kernl_keras.keras_version import keras

from .options import Command

POOR = 3  # copies of each word that was held back
TEMPERATURES = np.geomspace(0.2, 5.0, 323)


def run(options, about):
    """Makes the network."""
    run_dir, calibrate = options.run_dir, options.calibrate
    FOLDER.mkdir(exist_ok=True)
    model = keras.models.load_model(str(run_dir / MODEL))
    trained = read_config(run_dir)
    # data that the package has, where it has some: nothing is downloaded unless one asks for it
    experiment = dataclasses.replace(trained, source=SOURCES[trained.task][0], data_dir=None)
    results = {key: value for key, value in read_json(run_dir / RESULTS).items() if key != "curve"}
    results["data"] = results["data"].replace(f"{trained.data_dir}/", "")  # a folder of the machine that trained
    if calibrate is not None:
        results["temperature"] = best_temperature(*held_back(calibrate))
        results["calibrated_by"] = read_json(calibrate / RESULTS)["command"]
    with whole(FOLDER / f"{options.name}.npz") as part:
        np.savez_compressed(
            part,
            experiment=json.dumps(dataclasses.asdict(experiment)),
            record=json.dumps(results),
            input_shape=model.input_shape[1:],
            **{key: variable.numpy() for key, variable in variables(model).items()},
        )


def held_back(run_dir):
    """The outputs [n, 10] of a run's model for words that it held back and their poor copies, and the digits [n]."""
    experiment, model = read_config(run_dir), keras.models.load_model(str(run_dir / MODEL))
    settings = {key: value for key, value in experiment.task_settings.items() if key in ("seconds", "validation")}
    x, y = arrays(spoken_digits(**settings, data_dir=experiment.data_dir).validation)
    poor = np.concatenate([x] * POOR)
    spoil(poor, np.random.default_rng(0))
    heard = front_end(experiment)(np.concatenate([x, poor]))
    return model.predict(heard, verbose=0), np.concatenate([y] * (1 + POOR))


def best_temperature(outputs, classes):
    """The temperature of the softmax with the smallest cross-entropy, of outputs [n, C] and classes [n].

    Reference: Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks (2017).
    """

    def cross_entropy(temperature):
        logarithms = tf.nn.log_softmax(outputs.astype(float) / temperature).numpy()
        return -np.mean(logarithms[np.arange(len(classes)), classes])

    return float(min(TEMPERATURES, key=cross_entropy))


main = Command("pack", __doc__, run)
main.option("run_dir", type=pathlib.Path, metavar="RUN_DIR", help="directory of the run")
main.option("name", metavar="NAME", help="of the network")
main.option("--calibrate", type=pathlib.Path, metavar="RUN_DIR", help="a run that held words back")

if __name__ == "__main__":
    sys.exit(main())
