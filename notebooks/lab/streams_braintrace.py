"""BrainTrace's online rules on the stream of digits that `notebooks.lab.streams` has: the same network, steps, updates.

    python -m notebooks.lab.streams_braintrace --output notebooks/results/streams-braintrace.json

A worker in BrainTrace's own environment gets the pieces of `kk.data.stream` in their order, the weights and constants
of our network, and gives its answers to the streams of validation and test, which are counted here. The learning rate
is the best of those of `streams`, with the first seed. D_RTRL keeps what each weight does to each state of its unit,
pp_prop a filtered input and a filtered state, whose product it takes for that; EProp is D_RTRL with traces that are
filtered as the readout filters spikes. Errors are those of each step, or go back through the steps of a piece, too.
First, the answers and the exact gradient of one piece of 240 steps are compared with ours.
"""

import math
import pathlib
import sys
import tempfile
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kernl_keras.experiments.files import UserError, write_json

from . import streams
from .benchmark.environments import FOLDER, SCRIPTS, environment
from .benchmark.workers import answers_of
from .gradients import numbers_inside
from .options import Command, made_before

SCRIPT = SCRIPTS / "braintrace_streams.py"
TAU_OUT = 20.0  # of the readout that `streams.digits` has


class Row(NamedTuple):
    """A rule of BrainTrace."""

    rule: str
    errors: str  # of a "step", or also through a "window"
    options: dict[str, Any] = {}


ROWS = {
    "D_RTRL": Row("D_RTRL", "step"),
    "D_RTRL-window": Row("D_RTRL", "window"),
    # of the decays in BrainTrace's examples the one they have most often, and the longest
    "pp_prop-0.95": Row("pp_prop", "step", {"decay_or_rank": 0.95}),
    "pp_prop-0.99": Row("pp_prop", "step", {"decay_or_rank": 0.99}),
    "pp_prop-0.95-window": Row("pp_prop", "window", {"decay_or_rank": 0.95}),
    "pp_prop-0.99-window": Row("pp_prop", "window", {"decay_or_rank": 0.99}),
    # its traces are filtered as the readout filters spikes
    "EProp": Row("EProp", "step", {"kappa_filter_decay": math.exp(-1.0 / TAU_OUT)}),
}


def start_of(task, window, seed):
    """The weights that `streams` starts from, and the constants of the network, as the worker takes them."""
    model = streams.build(task, "bptt", window, task.rates[0], seed)
    cell, readout = model.get_layer("hidden").cell, model.layers[-1].cell
    constants = cell.parameters()._asdict()
    if cell.surrogate != "exponential" or constants.pop("trace_decay") != 0.0:
        raise ValueError("the worker has another surrogate gradient or no synaptic trace.")
    constants |= {"damping": cell.surrogate_damping, "readout_decay": readout.decay, "readout_gain": readout.gain}
    weights = {"kernel": cell.kernel, "recurrent": cell.recurrent_weights(), "bias": cell.bias}
    weights |= {"readout": readout.kernel, "readout_bias": readout.bias}
    return {name: np.asarray(value, "float32") for name, value in (constants | weights).items()}


def pieces_of(task, part, window, seed, count):
    """The first pieces of `kk.data.stream`, time first: x [P, C, B, I], y and weight [P, C, B]."""
    taken = streams.stream(task, part, window, seed).take(count).as_numpy_iterator()
    x, y, weight = (np.stack([np.swapaxes(each, 0, 1) for each in arrays]) for arrays in zip(*taken))
    return x, y, weight


def arrays_of(task, window, seed):
    """What a run hears, in the order in which `streams` lets its rules hear it, and what it starts from; a dict."""
    _, updates = streams.updates_of(task, window)
    found = start_of(task, window, seed)
    train = pieces_of(task, "train", window, seed, streams.POINTS * updates)
    found |= {f"train_{name}": array for name, array in zip(("x", "y", "weight"), train)}
    for part in ("validation", "test"):
        x, y, weight = pieces_of(task, part, window, 1_000, math.ceil(task.tested / window))
        steps = len(x) * window
        found |= {f"{part}_x": x.reshape(steps, *x.shape[2:])}
        found |= {f"{part}_{name}": array.reshape(steps, -1) for name, array in (("y", y), ("weight", weight))}
    return found


class Worker:
    """Runs of one row, window and seed, in the environment of BrainTrace."""

    def __init__(self, options, row, data):
        self.data, self.folder = data, tempfile.TemporaryDirectory()
        self.answers = pathlib.Path(self.folder.name)
        np.savez(self.answers / "data.npz", **data)
        settings = {"rule": row.rule, "errors": row.errors, "options": row.options, "points": streams.POINTS}
        settings |= {"data": str(self.answers / "data.npz"), "answers": self.folder.name, "threads": options.threads}
        self.python, self.settings = environment("braintrace", options.peers_dir), settings

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, **settings):
        """What it says, a list of dicts."""
        return answers_of("BrainTrace", self.python, SCRIPT, {**self.settings, **settings})

    def missed(self, task, part, name):
        """What a run missed of a part, and the share of steps, as `streams.errors` says."""
        answers = np.swapaxes(np.load(self.answers / f"{name}.npy", allow_pickle=False), 0, 1)
        y, weight = (self.data[f"{part}_{each}"].T for each in ("y", "weight"))
        return task.missed(answers, y, weight), streams.steps_missed(answers, y, weight)


def check(task, options):
    """How far answers and gradient of a piece of a word are from those of our network, a dict.

    There are no traces before the first piece, so D_RTRL's gradient with errors through the window is the exact one.
    """
    window = task.whole
    model = streams.build(task, "bptt", window, task.rates[0], 0)
    x, y, weight = pieces_of(task, "train", window, 0, 1)
    data = {**start_of(task, window, 0), "train_x": x, "train_y": y, "train_weight": weight}
    x, y, weight = (np.swapaxes(array[0], 0, 1) for array in (x, y, weight))
    with tf.GradientTape() as tape:
        answers = model(x, training=True)
        loss = model.loss(y, answers, sample_weight=weight)
    kernel, recurrent, *others = (gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables))
    gradients = dict(
        zip(("weights", "bias", "readout", "readout_bias"), (np.concatenate([kernel, recurrent]), *others))
    )
    with Worker(options, ROWS["D_RTRL-window"], data) as worker:
        (said,) = worker.run(check=True)
        theirs = np.swapaxes(np.load(worker.answers / "answers.npy", allow_pickle=False), 0, 1)
        with np.load(worker.answers / "gradients.npz", allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    difference = max(np.abs(found[name] - gradient).max() for name, gradient in gradients.items())
    return said["versions"], {
        "steps": window,
        "answers": float(np.abs(theirs - answers.numpy()).max()),
        "largest_answer": float(np.abs(answers.numpy()).max()),
        "gradient": float(difference),
        "largest_gradient": float(max(np.abs(gradient).max() for gradient in gradients.values())),
        "loss": [float(found["loss"]), float(loss)],
    }


def learn(task, options, row, window, seed, rates):
    """A run for each learning rate, as `streams.learn` says what was measured; the best on the validation stream."""
    _, updates = streams.updates_of(task, window)
    found = []
    with Worker(options, row, arrays_of(task, window, seed)) as worker:
        begun, *runs = worker.run(rates=list(rates))
        inside = numbers_inside(streams.build(task, "bptt", window, rates[0], 0).get_layer("hidden"), window)
        for run in runs:
            curve = []
            for point in range(1, streams.POINTS + 1):
                missed, wrong = worker.missed(task, "validation", f"validation-{run['rate']:g}-{point}")
                curve.append({"steps": point * updates * window, "validation": missed, "wrong_steps": wrong})
            missed, wrong = worker.missed(task, "test", f"test-{run['rate']:g}")
            made = {
                "seed": seed,
                "learning_rate": run["rate"],
                "trace_numbers": begun["numbers"],
                "numbers": begun["numbers"] + (inside if row.errors == "window" else 0),
                "seconds": sum(run["seconds"]),
                "steps_a_second": updates * window / min(run["seconds"]),
                "validation": curve[-1]["validation"],
                "test": missed,
                "wrong_steps": wrong,
                "curve": curve,
            }
            found.append(made)
    return found


def our_numbers(task):
    """What the traces of our network have for each example, with those of the readout."""
    model = streams.build(task, "kernl", streams.WINDOWS[0], task.rates[0], 0)
    return model.get_layer("hidden").trace_size + model.layers[-1].cell.kernel.shape[0] + 1


def run(options, about):
    """Makes the runs that are missing, the first seed of all rows first, and writes the results file after each."""
    task = streams.digits(None)
    assert task.tau_out == TAU_OUT
    found = made_before(options.output, "streams_braintrace", "runs") or {}
    try:
        versions, checked = check(task, options)
    except RuntimeError as error:
        raise UserError(str(error)) from error
    difference = "answers differ by {answers:.1e}, gradients by {gradient:.1e} of {largest_gradient:.1e}"
    print(f"same network: {difference.format(**checked)}")
    runs = found.get("runs", [])
    settings = {"rows": streams.ROWS, "units": streams.UNITS, "rates": task.rates, "task": "digits"}
    settings |= {"our_trace_numbers": our_numbers(task), "check": checked, "peer_versions": versions}
    for seed in options.seeds:
        for name in options.only:
            for window in options.windows or task.windows:
                made = [each for each in runs if (each["row"], each["window"]) == (name, window)]
                if any(each["seed"] == seed for each in made):
                    continue
                rates = [made[0]["learning_rate"]] if made else task.rates
                tried = learn(task, options, ROWS[name], window, seed, rates)
                best = {"row": name, **ROWS[name]._asdict(), "window": window}
                best |= min(tried, key=lambda each: each["validation"])
                if not made:
                    best["tried"] = [[each["learning_rate"], each["validation"]] for each in tried]
                runs.append({**best, "git_revision": about["git_revision"]})
                write_json(options.output, {"streams_braintrace": {"runs": runs, **settings, **about}})
                print(f"{name:14} window {window:<4} seed {seed}  {100 * best['test']:.1f} % missed", flush=True)


main = Command("streams_braintrace", __doc__, run)
main.option("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
main.count("--windows", nargs="+", metavar="C", help="those of `streams` if not given")
main.seeds(0, 1, 2)
main.option("--peers-dir", default=FOLDER, metavar="DIR", help="where BrainTrace's environment is built")
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
