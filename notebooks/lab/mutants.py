"""Breaks the equations, one at a time, and reports which breaks no test notices.

    python -m notebooks.lab.mutants --output notebooks/results/mutants.json

A mutant is a small change of one line: a sign flipped, a factor dropped, a step of time shifted. It is made in a copy
of the package, never in the checkout, and the tests of that room run on it until one fails. A mutant that survives them
runs the README's test command, and one that survives this all tests, the slow ones too.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
EVERY = ["tests"]  # what a mutant runs that survives the tests of its room

TESTS = {  # file: the tests that should notice, those most likely to first
    "cells/resonator.py": ["tests/cells/test_hidden_cells.py", "tests/rules/test_perturbed_pass.py"],
    "cells/adlif.py": ["tests/rules/test_adlif.py", "tests/cells/test_resistance.py"],
    "cells/linear.py": [
        "tests/cells/test_spiking_step.py",
        "tests/rules/test_gradients.py",
        "tests/rules/test_adlif.py",
        "tests/rules/test_whole_unit.py",
    ],
    "cells/lstm.py": ["tests/rules/test_lstm.py"],
    "dynamics/audio.py": ["tests/dynamics/test_audio.py", "tests/layers/test_audio.py"],
    "layers/audio.py": ["tests/layers/test_audio.py"],
    "data/stream.py": ["tests/data/test_stream.py"],
    "data/batches.py": [f"tests/data/test_{name}.py" for name in ("batches", "shift", "adding", "anbn")],
    "data": ["tests/data"],
    "callbacks/stream_backup.py": ["tests/callbacks/test_stream_backup.py"],
    "callbacks": ["tests/callbacks/test_stream_monitor.py"],
    "export": ["tests/export/test_learner.py"],
    "experiments/stream.py": ["tests/experiments/test_stream.py"],
    "experiments/backup.py": ["tests/experiments/test_run.py"],
    "dynamics": ["tests/dynamics", "tests/cells/test_hidden_cells.py"],
    "rules/own_traces.py": ["tests/rules/test_constants.py"],
    "rules/products.py": ["tests/rules/test_lstm.py", "tests/rules/test_constants.py", "tests/rules/test_gradients.py"],
    "regularizers.py": ["tests/layers/test_activity_regularizer.py"],
    "cells/connections.py": ["tests/cells/test_connections.py"],
    "cells/hidden.py": ["tests/cells/test_connections.py", "tests/rules/test_gradients.py", "tests/cells"],
    "cells/feedback.py": ["tests/layers/test_feedback.py"],
    "cells": ["tests/rules/test_gradients.py", "tests/rules/test_constants.py", "tests/cells"],
    "sequences/time_loop.py": ["tests/sequences"],
    "sequences/leaky_max.py": ["tests/sequences/test_leaky_max.py"],
    "sequences/leaky_sum.py": ["tests/layers/test_readout.py", "tests/cells/test_learned_constants.py"],
    "layers/readout.py": ["tests/layers/test_readout.py", "tests/layers/test_feedback.py"],
    "rules/perturb": ["tests/rules/test_perturbed_pass.py", "tests/rules/test_membrane.py"],
    "rules/sensitivity.py": ["tests/rules/test_sensitivity.py"],
    "rules/membrane.py": ["tests/rules/test_membrane.py"],
    "rules/whole_unit.py": ["tests/rules/test_whole_unit.py"],
    "rules/window.py": ["tests/rules/test_window.py", "tests/layers/test_reset.py"],
    "rules/complex_parts.py": ["tests/rules/test_linear_memory.py"],
    "rules/poles.py": ["tests/rules/test_linear_memory.py"],
    "rules/linear_memory.py": ["tests/rules/test_linear_memory.py", "tests/layers/test_reset.py"],
    "rules/reset_filters.py": ["tests/rules/test_linear_memory.py"],
    "rules/hop.py": ["tests/rules/test_membrane.py", "tests/rules/test_whole_unit.py", "tests/rules"],
    "rules": ["tests/rules"],
    "layers": [
        "tests/rules/test_gradients.py",
        "tests/layers/test_rnn_in_keras.py",
        "tests/layers/test_time_average.py",
        "tests/data/test_full_batches.py",
    ],
    "training/state.py": ["tests/callbacks/test_stream_backup.py", "tests/experiments/test_run.py", "tests/training"],
    "training/averages.py": ["tests/experiments/test_run.py", "tests/training/test_averages.py"],
    "training": ["tests/training", "tests/integration/test_learning_contract.py"],
}

MUTANTS = [  # file, what stands there, what is put in its place
    # Eq. (2)-(9)
    ("cells/lif.py", "state.refractory < p.dt", "state.refractory <= p.dt"),
    ("cells/lif.py", "p.base_threshold + p.adaptation_strength", "p.base_threshold - p.adaptation_strength"),
    ("cells/lif.py", "state.v + gate * (p.drive", "state.v + (p.drive"),
    ("cells/lif.py", "- (1.0 - p.membrane_decay) * state.v)", "- p.membrane_decay * state.v)"),
    ("cells/lif.py", "(1.0 - p.adaptation_decay) * spikes  # Eq. (6)\n    refr", "spikes  # Eq. (6)\n    refr"),
    ("cells/lif.py", "tf.nn.relu(state.refractory - p.dt)", "tf.nn.relu(state.refractory)"),
    ("cells/lif.py", "v = potential - threshold * spikes  # Eq", "v = potential - p.base_threshold * spikes  # Eq"),
    ("cells/lif.py", "(p.reset_potential - potential) * spikes", "(p.reset_potential - state.v) * spikes"),
    ("cells/lif.py", "p.trace_decay * state.trace + spikes  # Eq. (9)", "state.trace + spikes  # Eq. (9)"),
    ("cells/lif.py", "(1.0 - self.membrane_decay) * self.resistance", "self.resistance"),
    ("dynamics/surrogate.py", "/ threshold\n    function", "\n    function"),
    ("dynamics/surrogate.py", "function(u) / threshold", "function(u)"),
    ("dynamics/surrogate.py", "(1.0 + 10.0 * tf.abs(u)) ** 2", "(1.0 + 10.0 * tf.abs(u))"),
    ("dynamics/surrogate.py", "(math.pi * u) ** 2", "math.pi * u**2"),
    ("dynamics/surrogate.py", "tf.exp(-2.0 * u**2)", "tf.exp(-0.5 * u**2)"),
    ("dynamics/surrogate.py", "- height / scale * wide", "- height * wide"),
    ("dynamics/surrogate.py", "tf.abs(u) < 0.5, u.dtype", "tf.abs(u) < 1.0, u.dtype"),
    ("dynamics/surrogate.py", "return gate * damping", "return damping"),
    ("dynamics/surrogate.py", "potential >= threshold", "potential > threshold"),
    ("dynamics/surrogate.py", "error * slope, -error * slope", "error * slope, error * slope"),
    ("dynamics/surrogate.py", "1.0 - tf.abs(u)", "1.0 - u"),
    ("dynamics/encoding.py", "now <= (state[0] - 1) * level", "now < state[0] * level"),
    ("dynamics/encoding.py", "state[0] + up - down]", "state[0] + up]"),
    ("dynamics/encoding.py", "(1.0 - tf.clip_by_value(held, 0.0, 1.0))", "tf.clip_by_value(held, 0.0, 1.0)"),
    ("dynamics/encoding.py", "* 1.5 * (units - 1)) ** 2) / 2.0", "* 1.5 * units) ** 2) / 2.0"),
    ("dynamics/decays.py", "return 1.0 - dt / tau", "return 1.0 - tau / dt"),
    ("cells/leaky_rnn.py", "p.drive * function(current)", "function(current)"),
    ("cells/leaky_rnn.py", "p.leak * activity - p.turn * quadrature + added", "p.leak * activity + p.turn * quadrature + added"),
    ("cells/resonator.py", "p.leak * v - p.turn * quadrature", "p.leak * v + p.turn * quadrature"),
    ("cells/resonator.py", "swung + p.drive * current ", "swung + current "),
    ("cells/resonator.py", "p.base_threshold + p.adaptation_strength", "p.base_threshold - p.adaptation_strength"),
    ("cells/resonator.py", "(1.0 - p.adaptation_decay) * spikes  # Eq. (6)\n    trace = p.trace_decay * state", "spikes  # Eq. (6)\n    trace = p.trace_decay * state"),
    ("cells/leaky_rnn.py", "lambda g: 1.0 - tf.tanh(g) ** 2", "lambda g: 1.0 - tf.tanh(g)"),
    # the tangent, Eq. (18)
    # noise and its filters, Eq. (16)-(18)
    ("rules/exponential.py", "tf.exp(-gamma * dt)", "tf.exp(-gamma)"),
    ("rules/exponential.py", "return decay * omega + noise[:, None, :]", "return decay * (omega + noise[:, None, :])"),
    ("rules/exponential.py", "noise[:, None, :], decay * (slope - dt * omega)", "noise[:, None, :], decay * (slope + dt * omega)"),
    ("rules/exponential.py", "noise[:, None, :], decay * (slope - dt * omega)", "noise[:, None, :], decay * (slope - omega)"),
    ("rules/exponential.py", "noise[:, None, :], decay * (slope - dt * omega)", "noise[:, None, :], slope - dt * omega"),
    ("rules/perturbed_pass.py", "cell.gate(done) * driven if", "driven if"),
    ("rules/perturbation.py", "return difference / self.std, self.heard", "return difference, self.heard"),
    ("rules/perturbation.py", "return cell.exchange_spikes(state, noisy, clean)", "return state"),
    ("rules/perturbed_pass.py", "xi * noise.scale, enters", "xi, enters"),
    ("rules/perturbed_pass.py", 'if enters == "state":', 'if enters == "nowhere":'),
    ("rules/perturbed_pass.py", "tf.abs(effect) <= bound", "effect <= bound"),
    ("rules/perturbed_pass.py", "t % noise.resync_every != 0", "t % noise.resync_every != 1"),
    # Eq. (19) and its gradients
    ("rules/sensitivity.py", "scale = -2.0 /", "scale = 2.0 /"),
    ("rules/sensitivity.py", "tf.matmul(omega, flat(m), transpose_b=True)", "tf.matmul(omega, flat(m))"),
    ("rules/sensitivity.py", "tf.matmul(residual, omega, transpose_a=True)", "tf.matmul(omega, residual, transpose_a=True)"),
    ("rules/sensitivity.py", "by_slope=tf.matmul(residual, slope", "by_slope=tf.matmul(residual, omega"),
    ("rules/exponential.py", "field[-1][None] for field", "field[0][None] for field"),
    # the rules, Eq. (10)-(15), (20)-(23)
    ("rules/hop.py", '"...bk,rki->...bri"', '"...bk,rik->...bri"'),
    ("rules/hop.py", "self.enter((error * step.psi,))", "self.enter((error,))"),
    ("rules/plain_kernl.py", "reverse = now.entered[0] + carry[0]", "reverse = now.entered[0] - carry[0]"),
    ("rules/plain_kernl.py", "tf.reduce_sum(reverse, 1) * now.step.arrival", "tf.reduce_sum(reverse, 1)"),
    ("rules/plain_kernl.py", "tf.concat([tf.zeros_like(error[:-1]), error[-1:]], 0)", "error"),
    ("rules/plain_kernl.py", '"surrogate": step.arrival, "trace": step.presynaptic', '"surrogate": step.presynaptic, "trace": step.arrival'),
    ("rules/kernl.py", "now.error + through)", "now.error)"),
    ("rules/bptt.py", "through = tf.matmul(errors.current, ", "through = tf.matmul(errors.y[0], "),
    ("rules/membrane.py", "tf.matmul(xi, self.m, transpose_b=True)", "tf.matmul(xi, self.m)"),
    ("rules/membrane.py", "(), within * received", "(), received"),
    ("rules/membrane.py", "tuple(within * part for part in before)", "before"),
    ("rules/membrane.py", "after % resync_every != 0", "after % resync_every != 1"),
    ("rules/hop.py", "return now.through, self.filtered(carry, now.entered, now.step.heard)", "return now.through, carry"),
    ("rules/membrane.py", "return driven * done.slope if self.by_slope", "return driven if self.by_slope"),
    ("rules/hop.py", '"tbk,ki->tbi"', '"tbk,ik->tbi"'),
    # the whole unit, Eq. (36)
    ("rules/bptt.py", 'getattr(context.p, "trace_decay", 0.0) * later', "later"),
    ("rules/bptt.py", "context.recurrent_weights, transpose_b=True", "context.recurrent_weights"),
    ("rules/eprop.py", "step.following_reset() if self.reset_gradient else step", "step"),
    # one step of a unit, linearised, Eq. (37), (38)
    ("cells/linear.py", "y[0] = plus(y[0], arrived)", "y[-1] = plus(y[-1], arrived)"),
    ("cells/linear.py", "output = plus(times(self.psi, distance)", "output = plus(times(self.psi, y[0])"),
    ("cells/linear.py", "[plus(dot(row, y), times(s, output)) for row", "[plus(dot(row, y), 0.0 * times(s, output)) for row"),
    ("cells/linear.py", "error = plus(error, dot(self.s, later))", "error = plus(error, 0.0)"),
    ("cells/linear.py", "distance = plus(times(self.psi, error), distance)", "distance = plus(error, distance)"),
    ("cells/linear.py", "later), times(r, distance)) for column, r in zip(zip(*self.K), self.r)]", "later), times(r, distance)) for column, r in zip(self.K, self.r)]"),
    ("cells/linear.py", "later), times(r, distance)) for column", "later), distance) for column"),
    ("cells/linear.py", "for column in zip(*self.P))", "for column in self.P)"),
    ("cells/linear.py", "current = plus(current, times(to_currents(error, self.direct), self.direct))", "current = plus(current, 0.0)"),
    ("cells/linear.py", "None if nothing(distance) else distance, tuple(later))", "None if nothing(distance) else distance, before)"),
    ("cells/linear.py", "zip(*self.K)) for row in self.P)", "self.K) for row in self.P)"),
    ("cells/linear.py", "s=tuple(map(plus, self.s, self.reset))", "s=self.s"),
    ("cells/linear.py", 'for name in ("Q", "r", "s", "reset")', 'for name in ("Q", "r", "s")'),
    ("cells/lif.py", "1.0 - gate * (1.0 - p.membrane_decay)", "p.membrane_decay"),
    ("cells/lif.py", "Q=(gate * p.drive, 0.0)", "Q=(p.drive, 0.0)"),
    ("cells/lif.py", "r=(1.0, -beta)", "r=(1.0, beta)"),
    ("cells/lif.py", "(1.0, -beta * spikes) if", "(1.0, 0.0) if"),
    ("cells/lif.py", "else (1.0 - spikes, 0.0)", "else (1.0, 0.0)"),
    ("cells/lif.py", "(0.0, decay)),  # Eq. (8)", "(0.0, 1.0)),  # Eq. (8)"),
    ("cells/lif.py", "s=(0.0, 1.0 - decay)", "s=(0.0, 1.0)"),
    ("cells/lif.py", "reset=(-taken, 0.0)", "reset=(taken, 0.0)"),
    ("cells/lif.py", "else residuals.potential - p.reset_potential", "else residuals.potential"),
    ("cells/resonator.py", "P=((p.leak, -p.turn, 0.0)", "P=((p.leak, p.turn, 0.0)"),
    ("cells/resonator.py", "r=(1.0, 0.0, -p.adaptation_strength)", "r=(1.0, 0.0, p.adaptation_strength)"),
    ("cells/resonator.py", "s=(0.0, 0.0, 1.0 - decay)", "s=(0.0, 0.0, 1.0)"),
    ("cells/resonator.py", "(0.0, 0.0, decay)  #", "(0.0, 0.0, 1.0)  #"),
    ("cells/adlif.py", "P=((p.membrane_decay, -p.pull)", "P=((p.membrane_decay, p.pull)"),
    ("cells/adlif.py", "K=((keep, 0.0)", "K=((1.0, 0.0)"),
    ("cells/adlif.py", "(share * p.coupling * keep, p.adaptation_decay)", "(share * p.coupling, p.adaptation_decay)"),
    ("cells/adlif.py", "s=(0.0, share * p.adaptation_strength)", "s=(0.0, p.adaptation_strength)"),
    ("cells/adlif.py", "reset=(-potential, -share", "reset=(potential, -share"),
    ("cells/adlif.py", ", -share * p.coupling * potential)", ", 0.0)"),
    ("cells/leaky_rnn.py", "drive = p.drive * slope", "drive = p.drive"),
    ("cells/leaky_rnn.py", "P=((p.leak, -p.turn), (p.turn, p.leak))", "P=((p.leak, p.turn), (-p.turn, p.leak))"),
    ("cells/leaky_rnn.py", "heard=slope", "heard=1.0"),
    ("cells/lstm.py", "return LSTMState(changes.output, *changes.x)", "return LSTMState(*changes.x, *changes.x)"),
    ("cells/spiking.py", "plus(times(p.trace_decay, change.trace), changes.output)", "times(p.trace_decay, change.trace)"),
    ("rules/plain_kernl.py", "return (context.hop.decay[0][0] * reverse,)", "return (reverse,)"),
    ("rules/hop.py", "return tf.reduce_sum(carry[0], 1), later", "return tf.reduce_sum(later[0], 1), later"),
    ("rules/hop.py", "tf.reduce_sum(heard[..., None] * later[0], 1)", "tf.reduce_sum(later[0], 1)"),
    ("rules/hop.py", "(*later, heard * later[0])", "(*later, later[0])"),
    ("rules/hop.py", "return before, carry[-1 if self.by_slope else 0]", "return before, before[-1 if self.by_slope else 0]"),
    ("rules/hop.py", "itertools.zip_longest(zip(*kernel), entered", "itertools.zip_longest(kernel, entered"),
    ("rules/hop.py", "plus(dot(column, later), part)", "plus(part, 0.0 * later[0])"),
    ("rules/hop.py", "return y[0], *own", "return y[0], *map(tf.zeros_like, own)"),
    ("rules/hop.py", "step.gate * step.heard * (errors.y[0]", "step.heard * (errors.y[0]"),
    ("rules/hop.py", "step.gate * step.heard * (errors.y[0]", "step.gate * (errors.y[0]"),
    ("rules/hop.py", "(errors.y[0] + of_potential)", "errors.y[0]"),
    ("rules/hop.py", "step.back(carry[:-1], 0.0)", "step.back(carry[1:], 0.0)"),
    ("rules/membrane.py", "return member[:, :, None] * m, tf", "return member[:, None, :] * m, tf"),
    ("rules/membrane.py", "step.heard * before[0] if self.by_slope else before[0]", "before[0]"),
    ("rules/whole_unit.py", "arrived=step.gate * step.heard * driven)", "arrived=driven)"),
    ("rules/whole_unit.py", "step.gate * step.heard * errors.y[0]", "errors.y[0]"),
    ("rules/whole_unit.py", "return self.rule.followed(derivatives(start, size))", "return derivatives(start, size)"),
    ("rules/bptt.py", "now.step.back(own, now.error + later)", "now.step.back(own, now.error)"),
    ("rules/window.py", "return tf.nest.map_structure(tf.zeros_like, carry), (tuple(own), y)", "return carry, (tuple(own), y)"),
    ("rules/window.py", "rule.enter(inside.y, inside.own", "rule.enter(inside.own, inside.own"),
    ("rules/window.py", "carry = going_on((after, errors.y), now.step)", "carry = after, errors.y"),
    ("rules/linear_memory.py", "keep = step.K[0][0] + times(step.s[0], step.psi)", "keep = step.K[0][0]"),
    ("rules/rflo.py", "Q=tuple(times(step.psi, q) for q in step.Q)", "Q=step.Q"),
    ("rules/rflo.py", ", K=step.K0)", ")"),
    ("cells/spiking.py", "Effects(x=(*others, adaptation - spikes))", "Effects(x=(*others, adaptation))"),
    ("cells/spiking.py", "Effects(distance=-adaptation,", "Effects(distance=-spikes,"),
    ("cells/spiking.py", "(lambda x: (-x * spikes,))", "(lambda x: ())"),
    ("cells/resonator.py", '"turn": Effects(y=(-imaginary, real))', '"turn": Effects(y=(imaginary, real))'),
    ("cells/adlif.py", "p.coupling * v + p.adaptation_strength * spikes", "p.coupling * state.v + p.adaptation_strength * spikes"),
    ("rules/own_traces.py", "rule.followed(past.derivatives(start, size)).first(", "past.derivatives(start, size).first("),
    # windows, Eq. (28)
    ("rules/window.py", "derivatives(start, size).following_reset())", "derivatives(start, size))"),
    ("rules/window.py", "begins = tf.equal(t % self.window, 0)", "begins = tf.equal(t % self.window, 1)"),
    ("rules/window.py", "(*map(tf.add, carry[:own_count], own), *carry[own_count:])", "carry"),
    ("rules/window.py", "return carry, current + of_rule.current, of_rule", "return carry, of_rule.current, of_rule"),
    ("rules/backward.py", "return tuple(going_on(found[0], now.step)), self", "return tuple(found[0]), self"),
    # linear memory, Eq. (31)-(33)
    ("rules/linear_memory.py", "exclusive=True, reverse=True) < 0.5", "exclusive=True, reverse=True) < 9.5"),
    ("rules/poles.py", "gram = 1.0 / (1.0 - tf.math.conj(x)", "gram = 1.0 / (1.0 - x"),
    ("rules/linear_memory.py", "-drive * own[1] if swings", "drive * own[1] if swings"),
    ("rules/linear_memory.py", "own[2 if swings else 1] * psi * drive)", "own[2 if swings else 1] * drive)"),
    ("rules/linear_memory.py", "error = error * (1.0 - self.own_decay)", "error = error * self.own_decay"),
    ("rules/linear_memory.py", "for pole in (own, other))", "for pole in (own, own))"),
    ("rules/linear_memory.py", "potential[0], -potential[1] if swings", "potential[0], potential[1] if swings"),
    ("rules/linear_memory.py", "plus(at_own, conjugate(mirrored[1]))", "plus(at_own, mirrored[1])"),
    ("rules/linear_memory.py", "half = 0.5 * near, None", "half = near, None"),
    ("rules/linear_memory.py", "part * memory.means[:, 2] for part", "part for part"),
    ("rules/linear_memory.py", "(later + 1.0)[..., None], inputs)\n            if memory.y", "later[..., None], inputs)\n            if memory.y"),
    ("rules/linear_memory.py", "in_parts(lambda part: n * part,", "in_parts(lambda part: part,"),
    ("rules/complex_parts.py", "real -= multiply(imaginary_a, imaginary_b)", "real += multiply(imaginary_a, imaginary_b)"),
    ("rules/linear_memory.py", "(own[1] * factor * (1.0 - self.own_decay))", "(own[1] * factor)"),
    ("rules/linear_memory.py", "second.append(factor[..., None] * moved)", "second.append(moved)"),
    ("rules/reset_filters.py", "tf.where(counts > 0.0, leak * of_input, weight)", "leak * of_input"),
    ("rules/reset_filters.py", "counts * (past_v + keep * weight)", "past_v + keep * weight"),
    ("rules/reset_filters.py", "counts * (past_v + keep * weight)", "counts * (past_v + weight)"),
    ("rules/reset_filters.py", "tf.repeat(decays, groups)", "tf.tile(decays, [groups])"),
    ("rules/reset_filters.py", "tf.pow(decays, later)], -1)", "tf.pow(decays, later + 1.0)], -1)"),
    ("rules/reset_filters.py", "tf.reduce_sum(counts, 0))[..., None] * z", "1.0)[..., None] * z"),
    ("rules/linear_memory.py", "before * memory.means + now", "memory.means + now"),
    ("rules/linear_memory.py", "COUNTED) * tf.pow(keep, every)", "COUNTED)"),
    ("rules/linear_memory.py", "counts[..., None] * tf.pow(keep, later)  #", "counts[..., None]  #"),
    ("rules/linear_memory.py", "counts = tf.cast(tf.range(size) >= skip, dtype)[:, None]", "counts = tf.ones((size, 1), dtype)"),
    ("rules/linear_memory.py", "memory = advanced(filters, memory, window, number - 1)", "memory = advanced(filters, memory, window, number)"),
    ("rules/backward.py", "tf.einsum(\"tbh,ih->tbi\", current_error, kernel)", "tf.einsum(\"tbh,ih->tbi\", -current_error, kernel)"),
    ("rules/products.py", "return sum(products) if products else 0.0", "return 0.0"),
    ("rules/backward.py", "self.past.length,\n            reverse=True,", "self.past.length,\n            reverse=False,"),
    ("rules/backward.py", "(of_steps(now), valid), reverse=True)", "(of_steps(now), valid), reverse=False)"),
    ("rules/products.py", "added.append(tf.reduce_sum(local, 0, keepdims=True))", "added.append(0.0 * local[:1])"),
    ("rules/backward.py", "weighted = trace * weight[..., None]", "weighted = trace"),
    # constants that learn, Eq. (30)
    ("cells/lif.py", "of_leak = (before[0] - residuals.potential) /", "of_leak = (before[0] + residuals.potential) /"),
    ("cells/spiking.py", "Effects(synapse=seen)", "Effects(synapse=spikes)"),
    ("cells/leaky_rnn.py", "kept -= p.turn * before[1]", "kept += p.turn * before[1]"),
    ("cells/leaky_rnn.py", "(residuals.output - kept) / p.drive", "residuals.output / p.drive"),
    ("rules/bptt.py", "errors._replace(synapse=later)", "errors._replace(synapse=through)"),
    ("rules/kernl.py", "errors._replace(synapse=through)", "errors"),
    ("rules/backward.py", "tf.concat([x[None], after[:-1]], 0), after)", "after, after)"),
    ("rules/products.py", "found = tf.concat([found, of_constants], -1)", "found = tf.concat([found, 0.0 * of_constants], -1)"),
    ("rules/own_traces.py", "carry = tuple(tf.where(counted[:, None], after, at)", "carry = tuple(tf.where(counted[:, None], after, after)"),
    ("sequences/leaky_sum.py", "tf.concat([start[None], v[:-1]], 0)", "v"),
    # leaky units with an adaptation current, Eq. (34)
    ("cells/adlif.py", "p.drive * current - p.pull * state.w", "p.drive * current + p.pull * state.w"),
    ("cells/adlif.py", "(1.0 - self.membrane_decay) * self.resistance", "self.resistance"),
    ("cells/adlif.py", "else before[0] + before[1]", "else before[0]"),
    ("cells/lif.py", "tf.where(residuals.free, before[0], 0.0)", "before[0]"),
    ("cells/adlif.py", "of_decay = (before[1] - residuals.quadrature)", "of_decay = (before[1] + residuals.quadrature)"),
    # units with four currents, Eq. (35)
    ("cells/lstm.py", "memory = f * state.memory + i * g", "memory = state.memory + i * g"),
    ("cells/lstm.py", "tf.tanh(memory), memory - i * g,", "tf.tanh(memory), memory,"),
    ("cells/lstm.py", "psi=o * (1.0 - seen**2)", "psi=o"),
    ("cells/lstm.py", "o * (1.0 - o) * seen", "o * (1.0 - o)"),
    ("cells/lstm.py", "tf.sigmoid(i) * (1.0 - tf.tanh(g) ** 2)", "(1.0 - tf.tanh(g) ** 2)"),
    ("cells/lstm.py", "tf.split(self.recurrent_weights(), 4, -1)[2]", "tf.split(self.recurrent_weights(), 4, -1)[0]"),
    ("cells/lstm.py", "tf.concat([i, tf.ones_like(i), rest], 0)", "tf.concat([tf.ones_like(i), i, rest], 0)"),
    ("rules/products.py", 'tf.einsum("tbj,tbgh->bhjg", s, current)', 'tf.einsum("tbj,tbgh->bhgj", s, current)'),
    # the loop in blocks of steps
    ("sequences/time_loop.py", "place = blocks - 1 - k if reverse else k", "place = k"),
    ("sequences/time_loop.py", "count = size - (place * size - start)", "count = size"),
    ("sequences/time_loop.py", "row = size - 1 - i if reverse", "row = i if reverse"),
    ("sequences/time_loop.py", "tf.concat([first[None], rows[:-1]], 0), rows)", "rows, rows)"),
    ("sequences/time_loop.py", "for row in reversed(range(count)) if reverse else range(count)", "for row in range(count)"),
    # how the layer puts them together
    ("rules/backward.py", "take_before(self.residuals.presynaptic, self.cell.presynaptic(self.before), start, size)", "take(self.residuals.presynaptic, start, size)"),
    ("rules/perturbed_pass.py", "last=self.rule.last and self.starts is None", "last=False"),
    ("rules/learned_sensitivity.py", "first = tf.transpose(tf.cast(cell.weights_of_potential(), dtype))", "first = tf.cast(cell.weights_of_potential(), dtype)"),
    ("layers/rnn.py", "x = tf.transpose(sequences, (1, 0, 2))  # [T, B, I]", "x = tf.transpose(sequences, (1, 0, 2))[::-1]"),
    ("cells/lif.py", "potential - p.reset_potential", "potential"),
    ("cells/spiking.py", "state._replace(trace=state.trace + noise)", "state._replace(v=state.v + noise)"),
    ("cells/spiking.py", "state.trace + received.output - sent.output", "state.trace + sent.output - received.output"),
    ("cells/hidden.py", "tf.linalg.set_diag(each, none)", "each"),
    (
        "rules/perturbed_pass.py",
        "steps = tf.reduce_sum(tf.cast(self.counted, self.m.dtype))",
        "steps = tf.cast(tf.size(self.counted), self.m.dtype)",
    ),
    ("sequences/leaky_sum.py", "reverse = error + carry", "reverse = error"),
    ("sequences/leaky_sum.py", "v = decay * carry + x", "v = carry + x"),
    ("regularizers.py", "tf.nn.relu(low / 1000.0 - rate)", "tf.nn.relu(rate - low / 1000.0)"),
    ("regularizers.py", "rate = rate / self.dt", "rate = rate"),
    ("regularizers.py", "return regularizer(outputs, mask=counted) / examples", "return regularizer(outputs) / examples"),
    ("regularizers.py", "tf.math.divide_no_nan(regularizer(outputs), present)", "regularizer(outputs) / examples"),
    ("cells/connections.py", "w = signs * tf.nn.relu(signs * w)", "w = signs * tf.abs(w)"),
    ("cells/connections.py", "w = signs * tf.nn.relu(signs * w)", "w = w"),
    ("cells/connections.py", "balance = excitatory / (1.0 - excitatory) if", "balance = 1.0 if"),
    ("cells/hidden.py", "weights *= tf.cast(self.mask_of_weights(), weights.dtype)", "pass"),
    ("cells/hidden.py", "(share * shape[0]) ** 0.5", "shape[0] ** 0.5"),
    ("cells/feedback.py", "tf.matmul(error, feedback, transpose_b=True)", "tf.matmul(error, kernel, transpose_b=True)"),
    ("layers/readout.py", "model is not None and model.exact", "False"),
    ("layers/readout.py", "tf.where(mask, decay, tf.ones_like(decay))", "decay"),
    # training, Eq. (19) first and then the weights with the new M and gamma
    ("training/learn.py", "steps % model.sensitivity_every == 0", "steps % model.sensitivity_every == 1"),
    ("training/learn.py", "warm >= model.sensitivity_only", "warm > model.sensitivity_only"),
    ("training/scaling.py", "None if scale is None else tf.cast(scale, loss.dtype)", "None"),
    ("training/averages.py", "variable.assign(value)", "pass"),
    ("experiments/backup.py", "as part, averaged(self.model):", "as part:"),
    ("experiments/backup.py", "self._averaged.__enter__()", "pass"),
    ("training/alignment.py", "for late in range(lag, len(every))", "for late in range(len(every) - lag)"),
    ("training/alignment.py", "return own - contributions[local], of_exact", "return own, of_exact"),
    ("training/forward.py", "if sample_weight.shape.rank == 2:", "if sample_weight.shape.rank == 9:"),
    ("layers/rnn.py", "wide_policy(kwargs.get(\"dtype\") or cell.dtype_policy)", "kwargs.get(\"dtype\") or cell.dtype_policy"),
    ("layers/stateful.py", "tf.control_dependencies([inputs])", "tf.control_dependencies([])"),
    # sound, streams of words, and what goes on with them
    ("dynamics/audio.py", "tf.concat([before, x], axis=-1), frame_length", "tf.concat([tf.zeros_like(before), x], axis=-1), frame_length"),
    ("dynamics/audio.py", "SHARE * level + LEAST + mean", "LEAST + mean"),
    ("layers/audio.py", "[..., tf.shape(x)[-1] :]]", "[..., : tf.shape(before)[-1]]]"),
    ("layers/audio.py", "math.exp(-self.hop / tau)", "math.exp(-1.0 / tau)"),
    ("layers/audio.py", "return tf.transpose(level, (1, 0, 2)), level[-1]", "return tf.transpose(level, (1, 0, 2)), level[0]"),
    ("sequences/leaky_max.py", "fades * decay * reverse, (1.0 - fades)", "decay * reverse, (1.0 - fades)"),
    ("layers/audio.py", "divide_no_nan(sums[..., :-1], sums[..., -1:])", "divide_no_nan(sums[..., :-1], tf.ones_like(sums[..., -1:]))"),
    ("layers/audio.py", "return tf.transpose(mean, (1, 0, 2)), sums[-1]", "return tf.transpose(mean, (1, 0, 2)), sums[0]"),
    ("layers/audio.py", "        self.encoder.reset_state()", "        pass"),
    ("data/stream.py", "step = number * piece + tf.range", "step = number * (piece - 1) + tf.range"),
    ("data/stream.py", "free = every - tf.gather(needed, chosen) + 1", "free = every - tf.gather(sizes, chosen) + 1"),
    ("data/stream.py", "(at >= size - 1) & (at < size - 1 + answer)", "(at >= size) & (at < size + answer)"),
    ("data/stream.py", "heard += noise * normal(", "heard += normal("),
    ("data/stream.py", "numbers = first * rows + tf.range", "numbers = tf.range"),
    ("data/stream.py", "[seed, NOISE], step[0], rows)", "[seed, NOISE], step[0] * 0, rows)"),
    ("data/batches.py", "[seed, epoch], alg=", "[seed, 0], alg="),
    ("data/batches.py", "tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)", "first_step"),
    ("data/batches.py", "tf.stack([tf.constant(seed, tf.int64), number])", "tf.constant([seed, 0], tf.int64)"),
    ("data/shift.py", "moves[axis], -most", "moves[0], -most"),
    ("data/shift.py", "most - move", "most - tf.abs(move)"),
    ("callbacks/words.py", "self._open & ~(asked & (now == self._class))", "self._open & ~asked"),
    ("callbacks/words.py", "self._sum[begins], self._class[begins] = 0.0, now[begins]", "self._class[begins] = now[begins]"),
    ("callbacks/words.py", "self._open = asked", "self._open = begins"),
    ("callbacks/words.py", "not finite or int(", "int("),
    ("callbacks/stream_monitor.py", "with state_kept(self.model):", "if True:"),
    ("callbacks/stream_monitor.py", "outputs[0]])[-self.steps :]", "outputs[0]])[: self.steps]"),
    ("experiments/stream.py", "self.monitor.rates.restore(begun[\"rates\"])", "pass"),
    ("callbacks/stream_backup.py", "self.pieces + self._since", "self.pieces + 1"),
    ("training/state.py", "(model.optimizer, model.sensitivity_optimizer)", "(model.optimizer,)"),
    ("training/learn.py", "all_finite([*left, *losses])", "all_finite(losses)"),
    ("training/state.py", "of_rows, new, before.get(id(state), tf.zeros_like(new))", "of_rows, new, new"),
    ("training/targets.py", "((WEIGHTED, y), (UNWEIGHTED, ", "((UNWEIGHTED, y), (WEIGHTED, "),
    ("callbacks/stream_backup.py", "self._since += steps_per_execution(self.model)", "self._since += 1"),
    ("export/learning_network.py", "names = [type(loss).__name__, *", "names = [loss.name if hasattr(loss, \"name\") else \"\", *"),
    ("export/learner.py", "kept.put_back(tf.logical_not(tf.reduce_all(tf.math.is_finite(x))))", "pass"),
    ("export/learner.py", " & tf.reduce_all(tf.math.is_finite(x))\n", "\n"),
    ("export/learner.py", "kept.put_back(tf.logical_not(good))", "pass"),
    ("export/learner.py", "share = norm / tf.maximum(gradients.norm, norm)", "share = norm / gradients.norm"),
    ("export/learner.py", "forward = run_forward(self._network, x[:, None], y[:, None], sample_weight)", "forward = run_forward(self._network, x[:, None], y[:, None], None)"),
    ("export/learning_network.py", "of_copy.assign(of_layer)", "pass"),
    ("export/learning_network.py", "own.assign(other)", "pass"),
]  # fmt: skip


def mutate(text, old, new):
    """The text with `old`, which must stand there once, replaced."""
    if text.count(old) != 1:
        raise ValueError(f"{old!r} must stand there once; found {text.count(old)} times.")
    return text.replace(old, new)


def tests_of(file):
    """The tests that should notice a change of `file`."""
    return next(tests for place, tests in TESTS.items() if file.startswith(place))


def run_tests(folder, tests, *options):
    """The first test that failed, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", *options, *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    if result.returncode == 0:
        return None
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"exit status {result.returncode}"


def copied(folder):
    """A copy of what the tests need."""
    for part in ("kernl_keras", "tests", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("setup.cfg", "README.md", "CHANGELOG.md", "setup.py"):
        shutil.copy(ROOT / part, folder / part)
    return folder


def try_mutant(mutant, folders):
    """What noticed a mutant, a dict; it is made in one of the copies, which waits in a queue while none is made in it."""
    (file, old, new), start = mutant, time.monotonic()
    folder = folders.get()
    path = folder / "kernl_keras" / file
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutate(before, old, new), encoding="utf-8")
        command = "tests of its room"
        killer = run_tests(folder, tests_of(file), "-n", "0")
        if killer is None:
            command, killer = "README", run_tests(folder, EVERY)
        if killer is None:
            command, killer = "all tests", run_tests(folder, EVERY, "-m", "slow or not slow")
    finally:
        path.write_text(before, encoding="utf-8")
        folders.put(folder)
    seconds = time.monotonic() - start
    print(f"{seconds:5.0f} s {file:28} {old!r} -> {new!r}: {killer or 'SURVIVED'}", flush=True)
    return {"file": file, "was": old, "is": new, "noticed_by": killer, "of": killer and command}


def main(arguments=None):
    """The command; returns the exit status, 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.lab.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mutants.json"))
    parser.add_argument("--only", default="", help="mutants whose file or change contains this")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="mutants that are tried side by side")
    parser.add_argument("--skip-baseline", action="store_true", help="do not run the tests on the unbroken code first")
    options = parser.parse_args(arguments)
    chosen, report = [mutant for mutant in MUTANTS if options.only in " ".join(mutant)], []
    with tempfile.TemporaryDirectory() as name:
        folders = queue.Queue()
        for number in range(options.processes):
            folders.put(copied(pathlib.Path(name) / str(number)))
        if not options.skip_baseline:  # where the tests fail before, every mutant seems to be noticed
            folder = folders.get()
            if failed := run_tests(folder, sorted({test for tests in TESTS.values() for test in tests})):
                parser.error(f"the tests must pass before anything is broken; {failed}")
            folders.put(folder)
        with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
            for row in pool.map(lambda mutant: try_mutant(mutant, folders), chosen):
                report.append(row)
                options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    survived = [row for row in report if row["noticed_by"] is None]
    late = [row for row in report if row["of"] == "all tests"]
    print(f"{len(report)} mutants, {len(survived)} survived; {len(late)} are noticed by slow tests alone")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main())
