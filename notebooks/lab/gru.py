"""Trains a GRU of Keras on the spoken digits, as the rules of the sweep `spoken-digits` are, for comparison.

The same recordings, moved in the same way, front end, batches, epochs and answer, the mean of the last 20 steps. The
network of each seed is that of the epoch with the best validation accuracy, and the learning rate the best there with
the first seed.
"""

import dataclasses
import sys
import time

from kernl_keras.experiments.build import load_data
from kernl_keras.experiments.files import write_json
from kernl_keras.keras_version import keras
from kernl_keras.layers.time_average import TimeAverage

from .options import Command
from .sweeps import SWEEPS
from .training import compiled

EXPERIMENT = SWEEPS["spoken-digits"].experiment
UNITS = 100
RATES = (1e-3, 3e-3, 1e-2)


def network(time_steps, features, experiment):
    """The network, not compiled."""
    inputs = keras.Input((time_steps, features))
    hidden = keras.layers.GRU(UNITS, return_sequences=True, name="hidden")(inputs)
    readout = keras.layers.Dense(10, name="readout")(hidden)
    return keras.Model(inputs, TimeAverage(experiment.answer_steps)(readout))


def build(data, experiment, rate):
    """The network, compiled."""
    updates = experiment.total_steps(data.steps_per_epoch.train)
    return compiled(network(data.time_steps, data.features, experiment), rate, updates, metrics=["accuracy"])


class Best(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best validation accuracy."""

    accuracy, weights = -1.0, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.accuracy:
            self.accuracy, self.weights = logs["val_accuracy"], self.model.get_weights()


def learn(experiment, seed, rate):
    """One run; a dict of what was measured."""
    experiment = dataclasses.replace(experiment, seed=seed)
    keras.utils.set_random_seed(seed)
    data, best, before = load_data(experiment), Best(), time.perf_counter()
    model = build(data, experiment, rate)
    model.fit(
        data.train,
        steps_per_epoch=data.steps_per_epoch.train,
        epochs=experiment.epochs,
        validation_data=data.validation,
        callbacks=[best],
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - before
    model.set_weights(best.weights)
    test = model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]
    return {
        "seed": seed,
        "learning_rate": rate,
        "validation": float(best.accuracy),
        "test": float(test),
        "seconds": seconds,
        "parameters": int(model.count_params()),
    }


def run(options, about):
    """Trains, and writes the results file."""
    experiment, seeds = dataclasses.replace(EXPERIMENT, data_dir=options.data_dir), options.seeds
    tried = [learn(experiment, seeds[0], rate) for rate in RATES]
    runs = [max(tried, key=lambda run: run["validation"])]
    runs[0]["tried"] = [[run["learning_rate"], run["validation"]] for run in tried]
    runs += [learn(experiment, seed, runs[0]["learning_rate"]) for seed in seeds[1:]]
    for run in runs:
        print(f"seed {run['seed']}  test {100 * run['test']:.1f} %")
    write_json(options.output, {"baseline": {"label": f"GRU, {UNITS} units", "runs": runs, **about}})


main = Command("gru", __doc__, run)
main.seeds(0, 1, 2)
main.data_dir()
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
