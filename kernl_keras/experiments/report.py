"""What a run says to the user: before, what it will do; after, what came out."""

import tensorflow as tf

from ..keras_version import keras
from .files import EVENTS, MODEL, RESULTS
from .provenance import devices


def print_plan(experiment, run_dir, data, model, total_steps):
    """Says what will be done."""
    weights = sum(int(tf.size(weight)) for weight in model.trainable_variables)
    print(f"Experiment {experiment.name}: {experiment.description}")
    print(f"Data       {data.description}")
    print(f"Sequences  {data.time_steps} steps of {data.features} values")
    print(f"Learning   {experiment.summary()}; {weights:,} trained numbers")
    every = min(experiment.validate_every or data.steps_per_epoch.train, total_steps)
    print(
        f"Steps      {total_steps:,}, validated and saved every {every:,}; a pass over the data has "
        f"{data.steps_per_epoch.train:,}; seed {experiment.seed}"
    )
    if experiment.sensitivity_only:
        print(f"           the first {experiment.sensitivity_only:,} of M and gamma alone")
    print(
        f"Backend    TensorFlow {tf.__version__}, {devices()}; Keras {keras.__version__}; "
        f"XLA {'yes' if experiment.jit_compile else 'no'}"
    )
    print_compiling(experiment)
    print(f"Writes to  {run_dir}", flush=True)


def print_compiling(experiment):
    """Says why nothing happens at first."""
    if experiment.jit_compile:
        print("Compiling  takes from some seconds to a minute or two, before the first step and before the first test")


def print_results(experiment, run_dir, results, test):
    """Says what came out, and where it lies."""
    minutes, seconds = divmod(round(results["seconds"]), 60)
    choice = "best on the validation set" if results["examples"]["validation"] else "last"
    print(
        f"Trained for {results['steps']:,} steps in {minutes} min {seconds} s; "
        f"tested the model of epoch {results['best_epoch']}, the {choice}."
    )
    print_test(experiment, test)
    print(f"Results    {run_dir / RESULTS}")
    print(f"Model      {run_dir / MODEL}")
    print(f"Events     tensorboard --logdir {run_dir / EVENTS}")


def print_test(experiment, test):
    """Says what a test gave."""
    value = test[experiment.metric]
    print(f"Test {experiment.metric} {value:.4f} (chance {experiment.chance:.2f}), loss {test['loss']:.4f}")
