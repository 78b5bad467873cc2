"""What further hops behind the border of a window would give: the cosine to backpropagation's gradient, in NumPy.

    python -m notebooks.lab.hops RUN_DIR [RUN_DIR ...] --output notebooks/results/hops.json

KeRNL takes one hop by M across the border: an error that waits in a unit's potential reaches the units that moved it,
and goes on in their own states alone. Here the errors go on to those that moved these, and so on, by the weights
themselves, once with the slopes of every step and once with mean slopes, as in linear memory. (There the threshold
that a unit has at the border counts, and spikes before it move no threshold.) What thresholds hand on to potentials
behind the border hops as well, which KeRNL leaves out: it is little. With all hops and the slopes of every step it is
backpropagation. The networks must be of resonators.
"""

import argparse
import dataclasses
import sys

import numpy as np
import tensorflow as tf

from kernl_keras import cli
from kernl_keras.cells.resonator import ResonatorCell
from kernl_keras.experiments.build import load_data
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.rules.backward import Past
from kernl_keras.sequences.clean_pass import clean_pass
from kernl_keras.training.alignment import backpropagated_errors, trained

from .options import add_network_options, check_file, provenance
from .windows import EXAMPLES, agreement, read_network

HOPS = (0, 1, 2, 3, None)  # None for all of them
NEGLIGIBLE = 1e-3  # of the largest error: windows with smaller ones are left out


class Sequence:
    """What a sweep needs of a call of a layer, in double precision.

    Args:
        layer: `kernl_keras.RNN` of resonators.
        call: `Call` of the layer.
        error: of its outputs L [B, T, H].
    """

    def __init__(self, layer, call, error):
        cell = layer.cell
        x, error = (tf.transpose(part, (1, 0, 2)) for part in (call.sequences, error))
        before, p = cell.State(*call.initial_state[: len(cell.State._fields)]), cell.parameters()
        residuals, _ = clean_pass(cell, p, cell.recurrent_weights(), cell.input_current(x), before)
        past = Past(layer, x, before, residuals, p)
        step, (x, s) = past.derivatives(0, past.length), past.presynaptic(0, past.length)
        self.error = error.numpy().astype(float)
        self.psi, self.drive = (np.broadcast_to(np.asarray(part, float), error.shape) for part in (step.psi, step.Q[0]))
        self.inputs = np.concatenate([x, s, np.ones_like(s[..., :1])], -1).astype(float)
        (leak, *_), *turn = cell.free_response(p)
        turn = turn[0][0] if turn else 0.0
        self.kernel = np.broadcast_to(np.asarray(leak, float) + 1j * np.asarray(turn, float), cell.units)
        self.weights = cell.recurrent_weights().numpy().astype(float)
        self.beta, self.keep = np.zeros(cell.units), np.zeros(cell.units)
        if cell.adapts:
            self.beta, self.keep = self.beta + p.adaptation_strength, self.keep + p.adaptation_decay
        self.trained = trained(layer)

    def gradient(self, window, hops, mean):
        """dC/dW [J, H], by a sweep for each window.

        Args:
            window: C.
            hops: how many behind the border; None for all.
            mean: whether mean slopes stand for those of the steps there.
        """
        of_current = np.zeros_like(self.error)
        for first in range(0, len(self.error), window):
            inside = slice(first, first + window)
            if np.abs(self.error[inside]).max() < NEGLIGIBLE * np.abs(self.error).max():
                continue
            border = self.back(of_current, inside, self.error, [self.nothing()], all_hops=True)
            levels = border if hops is None else border + [self.nothing() for _ in range(hops)]
            slopes = self.means(first) if mean and first else None
            self.back(of_current, slice(0, first), None, levels, hops is None, slopes)
        return np.einsum("tbj,tbh->jh", self.inputs, of_current) * self.trained

    def nothing(self):
        """Errors of a potential, of a threshold and of a current."""
        zeros = np.zeros(self.error.shape[1:])
        return zeros.astype(complex), zeros, zeros

    def means(self, first):
        """The mean slopes and drives of the steps before `first`; one of n steps ago counts |lambda|^n."""
        count = np.abs(self.kernel) ** np.arange(first)[::-1, None, None]
        return [np.sum(count * part[:first], 0) / np.sum(count, 0) for part in (self.psi, self.drive)]

    def back(self, of_current, steps, error, levels, all_hops, means=None):
        """Goes back through some steps, and adds to `of_current`; returns the levels before them.

        Args:
            of_current: dC/dI [T, B, H].
            steps: a slice.
            error: of the outputs [T, B, H], or None.
            levels: errors by the number of hops that they have taken; one for all of them with `all_hops`.
            means: the slopes and drives to take, and no adaptation; None for those of each step.
        """
        for t in reversed(range(*steps.indices(len(self.error)))):
            psi, drive = (self.psi[t], self.drive[t]) if means is None else means
            beta = self.beta if means is None else 0.0
            after = []
            for n, (potential, threshold, _) in enumerate(levels):
                found = (1.0 - self.keep) * threshold + (0.0 if error is None else error[t])
                if all_hops or n:
                    found = found + levels[n if all_hops else n - 1][2] @ self.weights.T
                found = psi * found
                now = potential + found
                of_current[t] += now.real * drive
                after.append((np.conj(self.kernel) * now, self.keep * threshold - beta * found, now.real * drive))
            levels = after
        return levels


def measure(experiment, model, window):
    """The rows of one network, a list of dicts."""
    layer = model.get_layer("hidden")
    if not isinstance(layer.cell, ResonatorCell):
        raise UserError(f"RUN_DIR must hold a network of resonators; received one of {layer.cell.name}.")
    batch = next(iter(load_data(experiment).validation.unbatch().batch(EXAMPLES)))
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    sequence = Sequence(layer, call, error)
    exact, rows = sequence.gradient(sequence.error.shape[0], None, False), []
    for mean in (False, True):
        for hops in HOPS:
            row = {"slopes": "mean" if mean else "every step", "hops": hops}
            rows.append({**row, **agreement(sequence.gradient(window, hops, mean), exact)})
    return rows


def measure_all(networks, path, window, command=""):
    """Measures networks, and writes the results file; arguments as of `windows.measure_all`, and C."""
    cli.at_least_one("--window", window)
    found = []
    for name in networks:
        experiment, record, model = read_network(name)
        run = {key: record[key] for key in ("experiment", "rule", "steps", "seed", "git_revision")}
        digits = "sample" if experiment.task == "mnist" else experiment.source
        rows = measure(dataclasses.replace(experiment, source=digits, data_dir=None), model, window)
        found.append({"run": run, "rows": rows})
        for row in rows:
            hops = "all" if row["hops"] is None else row["hops"]
            print(f"{name}: slopes of {row['slopes']}, hops {hops}: cosine {row['cosine']:.3f}", flush=True)
    about = provenance(command)
    write_json(path, {"hops": {"window": window, "examples": EXAMPLES, "networks": found, **about}})


def main(arguments=None):
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.hops", description=__doc__.splitlines()[0])
    add_network_options(parser)
    parser.add_argument("--window", type=int, default=64, metavar="C", help="steps of a window")
    parser.set_defaults(
        run=lambda options, command: (
            measure_all(options.networks, check_file(options.output), options.window, command) or 0
        )
    )
    return cli.run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
