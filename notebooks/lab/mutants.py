"""Breaks the equations, one at a time, and reports which breaks no test notices.

    python -m notebooks.lab.mutants --output notebooks/results/mutants.json

A mutant is a small change of one line: a sign flipped, a factor dropped, a step of time shifted. It is made in a copy
of the package, never in the checkout, and the tests of that room run on it until one fails. A mutant that survives them
all runs the whole suite.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
EVERY = ["tests"]  # what a mutant runs that survives the tests of its room

TESTS = {  # file: the tests that should notice, those most likely to first
    "dynamics/resonator.py": ["tests/cells/test_hidden_cells.py", "tests/learning/test_forward.py"],
    "dynamics": ["tests/dynamics", "tests/cells/test_hidden_cells.py"],
    "cells": ["tests/layers/test_rnn.py", "tests/learning/test_forward.py", "tests/cells"],
    "learning/blocks.py": ["tests/learning/test_blocks.py"],
    "learning/leaky_sum.py": ["tests/layers/test_readout.py"],
    "layers/readout.py": ["tests/layers/test_readout.py"],
    "learning/forward.py": ["tests/learning/test_forward.py"],
    "learning/sensitivity.py": ["tests/learning/test_sensitivity.py"],
    "learning/own_kernel.py": ["tests/layers/test_own_kernel.py"],
    "learning/bptt_adjoint.py": ["tests/layers/test_bptt_adjoint.py"],
    "learning/attach.py": ["tests/layers/test_rnn.py"],
    "learning": [
        "tests/learning/test_rules.py",
        "tests/learning/test_forward.py",
        "tests/layers/test_rnn.py",
        "tests/layers/test_own_kernel.py",
    ],
    "layers": [
        "tests/layers/test_rnn.py",
        "tests/layers/test_rnn_in_keras.py",
        "tests/layers/test_time_average.py",
        "tests/data/test_full_batches.py",
    ],
    "training": ["tests/training", "tests/integration/test_learning_contract.py"],
}

MUTANTS = [  # file, what stands there, what is put in its place
    # Eq. (2)-(9)
    ("dynamics/lif.py", "state.refractory < p.dt", "state.refractory <= p.dt"),
    ("dynamics/lif.py", "p.base_threshold + p.adaptation_strength", "p.base_threshold - p.adaptation_strength"),
    ("dynamics/lif.py", "state.v + gate * (p.drive", "state.v + (p.drive"),
    ("dynamics/lif.py", "- (1.0 - p.membrane_decay) * state.v)", "- p.membrane_decay * state.v)"),
    ("dynamics/lif.py", "(1.0 - p.adaptation_decay) * spikes  # Eq. (6)\n    refr", "spikes  # Eq. (6)\n    refr"),
    ("dynamics/lif.py", "tf.nn.relu(state.refractory - p.dt)", "tf.nn.relu(state.refractory)"),
    ("dynamics/lif.py", "v = potential - threshold * spikes  # Eq", "v = potential - p.base_threshold * spikes  # Eq"),
    ("dynamics/lif.py", "(p.reset_potential - potential) * spikes", "(p.reset_potential - state.v) * spikes"),
    ("dynamics/lif.py", "p.trace_decay * state.trace + spikes  # Eq. (9)", "state.trace + spikes  # Eq. (9)"),
    ("dynamics/lif.py", "(1.0 - self.membrane_decay) * self.resistance", "self.resistance"),
    ("dynamics/surrogate.py", "/ threshold\n    return", "\n    return"),
    ("dynamics/surrogate.py", "SURROGATES[shape](u) / threshold", "SURROGATES[shape](u)"),
    ("dynamics/surrogate.py", "return gate * damping", "return damping"),
    ("dynamics/surrogate.py", "potential >= threshold", "potential > threshold"),
    ("dynamics/surrogate.py", "error * slope, -error * slope", "error * slope, error * slope"),
    ("dynamics/surrogate.py", "1.0 - tf.abs(u)", "1.0 - u"),
    ("dynamics/decays.py", "return 1.0 - dt / tau", "return 1.0 - tau / dt"),
    ("dynamics/rate.py", "p.drive * function(current)", "function(current)"),
    ("dynamics/rate.py", "p.leak * activity - p.turn * quadrature + added", "p.leak * activity + p.turn * quadrature + added"),
    ("dynamics/resonator.py", "p.leak * v - p.turn * quadrature", "p.leak * v + p.turn * quadrature"),
    ("dynamics/resonator.py", "swung + p.drive * current ", "swung + current "),
    ("dynamics/resonator.py", "p.base_threshold + p.adaptation_strength", "p.base_threshold - p.adaptation_strength"),
    ("dynamics/resonator.py", "(1.0 - p.adaptation_decay) * spikes  # Eq. (6)\n    trace = p.trace_decay * state", "spikes  # Eq. (6)\n    trace = p.trace_decay * state"),
    ("dynamics/resonator.py", "distance = potential - p.adaptation", "distance = potential + p.adaptation"),
    ("dynamics/resonator.py", "spikes = step.slope * distance", "spikes = step.slope * potential"),
    ("dynamics/rate.py", "lambda g: 1.0 - tf.tanh(g) ** 2", "lambda g: 1.0 - tf.tanh(g)"),
    # the tangent, Eq. (18)
    ("dynamics/lif.py", "distance = potential - threshold\n", "distance = potential + threshold\n"),
    ("dynamics/lif.py", "leak = 1.0 - step.gate * (1.0 - p.membrane_decay)", "leak = p.membrane_decay"),
    ("dynamics/lif.py", "+ step.gate * p.drive * current_change", "+ p.drive * current_change"),
    ("dynamics/lif.py", "spikes = step.slope * distance", "spikes = step.slope * potential"),
    ("dynamics/lif.py", "step.threshold * spikes - threshold * step.output", "step.threshold * spikes"),
    ("dynamics/lif.py", "(p.reset_potential - step.potential) * spikes", "p.reset_potential * spikes"),
    ("dynamics/lif.py", "potential * (1.0 - step.output) +", "potential +"),
    ("dynamics/lif.py", "p.trace_decay * change.trace + spikes", "p.trace_decay * change.trace"),
    ("dynamics/rate.py", "p.drive * step.slope * current_change", "p.drive * current_change"),
    # noise and its filters, Eq. (16)-(18)
    ("learning/filters.py", "tf.exp(-gamma * dt)", "tf.exp(-gamma)"),
    ("learning/filters.py", "decay * omega + noise[:, None, :]", "decay * (omega + noise[:, None, :])"),
    ("learning/filters.py", "decay * (slope - dt * omega)", "decay * (slope + dt * omega)"),
    ("learning/filters.py", "decay * (slope - dt * omega)", "decay * (slope - omega)"),
    ("learning/filters.py", "decay * (slope - dt * omega)", "slope - dt * omega"),
    ("learning/forward.py", "cell.gate(now) * driven if", "driven if"),
    ("learning/forward.py", "return now, clean, difference / noise.std, other", "return now, clean, difference, other"),
    ("learning/forward.py", "other = cell.exchange_spikes(other, noisy, now)", "pass"),
    ("learning/forward.py", "1.0 if noise.mode == \"tangent\" else noise.std", "1.0"),
    ("learning/forward.py", "if noise.enters == \"state\":", "if noise.enters == \"nowhere\":"),
    ("learning/forward.py", "tf.abs(effect) <= noise.bound", "effect <= noise.bound"),
    ("learning/forward.py", "t % noise.resync_every != 0", "t % noise.resync_every != 1"),
    # Eq. (19) and its gradients
    ("learning/sensitivity.py", "scale = -2.0 /", "scale = 2.0 /"),
    ("learning/sensitivity.py", "tf.matmul(omega, flat(m), transpose_b=True)", "tf.matmul(omega, flat(m))"),
    ("learning/sensitivity.py", "tf.matmul(residual, omega, transpose_a=True)", "tf.matmul(omega, residual, transpose_a=True)"),
    ("learning/sensitivity.py", "by_slope=tf.matmul(residual, slope", "by_slope=tf.matmul(residual, omega"),
    ("learning/sensitivity.py", "field[-1][None] for field", "field[0][None] for field"),
    # the rules, Eq. (10)-(15), (20)-(23)
    ("learning/filters.py", '"tbk,rki->tbri"', '"tbk,rik->tbri"'),
    ("learning/plain.py", "error * factors.psi, m", "error, m"),
    ("learning/plain.py", "reverse = now.path + carry[0]", "reverse = now.path - carry[0]"),
    ("learning/plain.py", "return (decay * reverse,), (tf.reduce_sum(reverse, 1)", "return (reverse,), (tf.reduce_sum(reverse, 1)"),
    ("learning/plain.py", "tf.reduce_sum(reverse, 1) * now.post_factor", "tf.reduce_sum(reverse, 1)"),
    ("learning/plain.py", "traces[0] + added[:, None]", "(traces[0] + added[:, None])"),
    ("learning/network.py", "local = error * psi", "local = error"),
    ("learning/network.py", "now.local + now.psi * tf.reduce_sum(path, 1)", "now.local + tf.reduce_sum(path, 1)"),
    ("learning/network.py", "return (*own, now.path + decay * path)", "return (*own, decay * (now.path + path))"),
    ("learning/network.py", "leak * beside - turn * path", "leak * beside + turn * path"),
    ("learning/network.py", "leak * e - turn * beside + through", "leak * e + turn * beside + through"),
    ("learning/network.py", "decay[None, :, :, None] * e + through", "e + through"),
    ("learning/network.py", "through = (now.psi[:, :, None] * eps)[:, None]", "through = eps[:, None]"),
    ("learning/own.py", "own = local + now.keep * carry[0]", "own = local + carry[0]"),
    ("learning/own.py", "return (now.leak * own,), now.drive * own", "return (own,), now.drive * own"),
    ("learning/own.py", "return (now.leak * own,), now.drive * own", "return (now.leak * own,), own"),
    ("learning/own.py", "return (now.keep[:, :, None] * eps,), eps", "return (eps,), eps"),
    ("learning/own.py", "now.leak * own + now.turn * turned", "now.leak * own - now.turn * turned"),
    ("learning/own.py", "eps = leak * traces[0] - turn * traces[1]", "eps = leak * traces[0] + turn * traces[1]"),
    ("learning/own_kernel.py", "self.leak * real - self.turn * imaginary", "self.leak * real + self.turn * imaginary"),
    ("learning/own_kernel.py", "self.leak * imaginary - self.turn * real", "self.leak * imaginary + self.turn * real"),
    ("learning/own_kernel.py", "tf.matmul(xi, self.m, transpose_b=True)", "tf.matmul(xi, self.m)"),
    ("learning/own_kernel.py", "real = sane * (residual + real)", "real = residual + real"),
    ("learning/own_kernel.py", "after % resync_every != 0", "after % resync_every != 1"),
    ("learning/own_kernel.py", "path = tf.einsum(\"tbk,ki->tbi\"", "path = tf.einsum(\"tbk,ik->tbi\""),
    ("learning/own_kernel.py", "now.local + factors.psi * path", "now.local + path"),
    ("learning/own_kernel.py", "return (real, real, turned[1]), (before,), ()", "return (real, real, turned[1]), (real,), ()"),
    ("learning/bptt_adjoint.py", "error=now.error + g", "error=now.error"),
    ("learning/bptt_adjoint.py", "+ self.trace_decay * g", "+ g"),
    ("learning/eprop.py", "error * factors.psi", "error"),
    ("learning/eprop_alif.py", "now.psi * spike + now.threshold_keep * own[0]", "now.psi * spike"),
    ("learning/eprop_alif.py", "- now.adaptation_strength * of_threshold", "+ now.adaptation_strength * of_threshold"),
    ("learning/eprop_alif.py", "zeta = psi * (eps - threshold)", "zeta = psi * eps"),
    ("learning/eprop_alif.py", "+ (1.0 - now.adaptation_decay) * adaptation", "+ adaptation"),
    ("learning/rflo.py", "factors.psi * factors.drive", "factors.drive"),
    ("learning/rflo.py", ", keep=1.0)", ")"),
    ("learning/attach.py", 'current_error, kernel)', '-current_error, kernel)'),
    ("learning/implementations.py", "return errors, gradient + weigh_traces(carry, traces) if traces else gradient", "return errors, gradient"),
    ("learning/implementations.py", "reverse=True)", "reverse=False)"),
    # the loop in blocks of steps
    ("learning/blocks.py", "count = length - k * size - start", "count = size"),
    ("learning/blocks.py", "count = size - (k * size - start)", "count = size"),
    ("learning/blocks.py", "row = count - 1 - i if reverse", "row = i if reverse"),
    ("learning/blocks.py", "tf.concat([first[None], rows[:-1]], 0), rows)", "rows, rows)"),
    ("learning/blocks.py", "reversed(every) if reverse else every", "every"),
    ("learning/implementations.py", "(*added, tf.reduce_sum(errors, 0, keepdims=True))", "(*added, tf.zeros_like(total[-1]))"),
    # how the layer puts them together
    ("layers/rule_gradient.py", "take_before(cell.seen(self.written), cell.presynaptic(self.before), start, size)", "take(cell.seen(self.written), start, size)"),
    ("layers/rule_gradient.py", "tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)", "error"),
    ("layers/rule_gradient.py", '"surrogate": record.slope, "trace": cell.seen(written)', '"surrogate": cell.seen(written), "trace": record.slope'),
    ("layers/perturbed_pass.py", "learn_last if layer.credit", "learn_all if layer.credit"),
    ("layers/rnn.py", "first = tf.transpose(tf.cast(self.cell.recurrent_weights(), dtype)) * drive[:, None]", "first = tf.cast(self.cell.recurrent_weights(), dtype) * drive[:, None]"),
    ("layers/rnn.py", "x = tf.transpose(sequences, (1, 0, 2))  # [T, B, I]", "x = tf.transpose(sequences, (1, 0, 2))[::-1]"),
    ("cells/lif.py", "keep=(1.0 if p.soft_reset else 1.0 - record.output) - followed", "keep=1.0 - followed"),
    ("cells/lif.py", "drive=record.gate * p.drive", "drive=p.drive"),
    ("cells/lif.py", "threshold_keep=(record.output if p.soft_reset else 0.0) - followed", "threshold_keep=-followed"),
    ("cells/lif.py", "potential - p.reset_potential", "potential"),
    ("cells/spiking.py", "state._replace(trace=state.trace + noise)", "state._replace(v=state.v + noise)"),
    ("cells/spiking.py", "state.trace + received.output - sent.output", "state.trace + sent.output - received.output"),
    ("cells/hidden.py", "tf.linalg.set_diag(weights, tf.zeros(self.units, weights.dtype))", "weights"),
    (
        "layers/perturbed_pass.py",
        "steps = tf.reduce_sum(tf.cast(self.counted, self.m.dtype))",
        "steps = tf.cast(tf.size(self.counted), self.m.dtype)",
    ),
    ("learning/leaky_sum.py", "reverse = error + carry[0]", "reverse = error"),
    ("learning/leaky_sum.py", "v = decay * carry[0] + x", "v = carry[0] + x"),
    ("layers/readout.py", "tf.where(mask, decay, tf.ones_like(decay))", "decay"),
    # training, Eq. (19) first and then the weights with the new M and gamma
    ("training/model.py", "steps % self.sensitivity_every == 0", "steps % self.sensitivity_every == 1"),
    ("training/model.py", ">= self.sensitivity_only", "> self.sensitivity_only"),
    ("training/alignment.py", "for late in range(lag, len(every))", "for late in range(len(every) - lag)"),
    ("training/alignment.py", "return own - split, exact - contributions[OWN]", "return own, exact - contributions[OWN]"),
]  # fmt: skip


def mutate(text, old, new):
    """The text with `old`, which must stand there once, replaced."""
    if text.count(old) != 1:
        raise ValueError(f"{old!r} must stand there once; found {text.count(old)} times.")
    return text.replace(old, new)


def tests_of(file):
    """The tests that should notice a change of `file`."""
    return next(tests for place, tests in TESTS.items() if file.startswith(place))


def run_tests(folder, tests):
    """The first test that failed, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    if result.returncode == 0:
        return None
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"exit status {result.returncode}"


def main(arguments=None):
    """The command; returns the exit status, 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mutants.json"))
    parser.add_argument("--only", default="", help="mutants whose file or change contains this")
    parser.add_argument("--skip-baseline", action="store_true", help="do not run the tests on the unbroken code first")
    options = parser.parse_args(arguments)
    report = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("kernl_keras", "tests", "notebooks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("setup.cfg", "README.md", "CHANGELOG.md", "setup.py"):
            shutil.copy(ROOT / part, folder / part)
        if not options.skip_baseline:  # where the tests fail before, every mutant seems to be noticed
            if failed := run_tests(folder, sorted({test for tests in TESTS.values() for test in tests})):
                parser.error(f"the tests must pass before anything is broken; {failed}")
        for file, old, new in MUTANTS:
            if options.only not in f"{file} {old} {new}":
                continue
            path, start = folder / "kernl_keras" / file, time.monotonic()
            before = path.read_text(encoding="utf-8")
            path.write_text(mutate(before, old, new), encoding="utf-8")
            killer = run_tests(folder, tests_of(file)) or run_tests(folder, EVERY)
            path.write_text(before, encoding="utf-8")
            row = {"file": file, "was": old, "is": new, "noticed_by": killer}
            report.append(row)
            seconds = time.monotonic() - start
            print(f"{seconds:5.0f} s {file:28} {old!r} -> {new!r}: {killer or 'SURVIVED'}", flush=True)
            options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    survived = [row for row in report if row["noticed_by"] is None]
    print(f"{len(report)} mutants, {len(survived)} survived")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main())
