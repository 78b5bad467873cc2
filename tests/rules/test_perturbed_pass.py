"""The forward pass beside its perturbation: Omega, Gamma and D of a tangent, a twin and a replica, Eq. (16)-(18)."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.draws import draw_signs, unpack_signs
from kernl_keras.rules import Effect, Exponential, KeRNL, PlainKeRNL, Replica, Tangent, Twin
from kernl_keras.rules.perturbed_pass import PerturbedPass, PerturbedState
from kernl_keras.sequences.time_loop import BLOCK

from ..reference.cases import SPIKING, B, H, Network, T, draw, taking_turns
from ..reference.expected import same
from ..reference.tools import MODES

GAMMA = 0.2 * draw(40, 2, H) ** 2
PACKED = draw_signs(T, B, H, [1, 2])
XI = np.swapaxes(unpack_signs(PACKED, H, tf.float64), 0, 1)


def time_major(x):
    return np.swapaxes(x, 0, 1)


class Pass:
    """Both passes on a network of the table, with two exponential kernels."""

    def __init__(self, name, perturbation, enters="synapse"):
        self.network = Network(name)
        rule = PlainKeRNL(Exponential(2), perturbation=perturbation)
        rule.noise_enters = lambda cell: enters  # "state" is what KeRNL does in spiking networks
        self.layer = self.network.layer(rule, gamma=GAMMA)
        self.cell = self.layer.cell
        self.p, self.weights = self.cell.parameters(), self.cell.recurrent_weights()
        self.x = tf.transpose(self.network.inputs, (1, 0, 2))

    def zero_states(self):
        state = self.cell.State(*(tf.zeros((B, size), tf.float64) for size in self.cell.state_size))
        return state, PerturbedState(state, *[tf.zeros((B, len(GAMMA), H), tf.float64)] * 2)

    def __call__(self, *states):
        """What the cell keeps [T, ...], the state after it, the `Effect`, the perturbed state after it."""
        assert T <= BLOCK  # so that one block is the whole
        both = PerturbedPass(self.layer, self.p, self.weights, self.x, None, None)
        both.signs = PACKED
        filtered = tf.zeros((T, B, len(GAMMA), H), tf.float64)
        both.predictor.start = lambda: Effect(tf.zeros((T, B, H), tf.float64), filtered, filtered)
        both.predictor.accumulate = lambda total, made: made
        both.predictor.sums = lambda total, *_: total
        residuals, end, after, made, _ = both.run(*(states or self.zero_states()))
        return residuals, end, made, after


def test_a_replica_hears_no_flipped_spike():
    """It is the twin until a spike flips, and not after.

    Spikes flip by less noise, too: or `test_gradients` would not tell a twin from a tangent.
    """
    for name in SPIKING:
        replica, twin = (Pass(name, kind(std=2.0), enters="state")()[2].effect for kind in (Replica, Twin))
        network = Network(name)
        less, flipped = (network.run(noise=std * XI, enters="state").z != network.run().z for std in (0.4, 2.0))
        assert less.any()
        first = int(np.argmax(flipped.any((0, 2))))
        same(replica[: first + 1], twin[: first + 1])
        assert np.abs(replica - twin).max() > 0.01


def exploding(bound):
    """Strong recurrence and a wide surrogate in the first example, a surrogate of zero in the second."""
    one = Pass("soft euler", Tangent(bound), enters="current")
    one.weights = 30.0 * one.weights
    one.cell.surrogate_damping = np.array([[3.0], [0.0]])
    return one


@pytest.mark.parametrize("mode", taking_turns(["eager", "xla"]))
def test_an_exploding_tangent_starts_anew_and_leaves_other_examples_alone(mode):
    _, _, free, _ = exploding(1e300)()
    beyond = np.abs(free.effect[:, 0]).max(-1) > 30.0
    first = int(np.argmax(beyond))
    assert 0 < first < T - 2 and beyond[-1] and np.abs(free.effect[:, 1]).max() < 30.0
    one = exploding(30.0)
    record, _, perturbation, after = MODES[mode](lambda: one())()
    assert np.abs(perturbation.effect).max() <= 30.0
    for field, without in zip(perturbation, free):
        same(field[:, 1], without[:, 1])
        same(field[:first, 0], without[:first, 0])
        assert not field[first, 0].numpy().any()
    # The step after: a unit has felt that step's noise and nothing else.
    felt = time_major(XI)[first + 1, 0] * one.cell.linear_step(record, one.p).gate[first + 1, 0]
    same(perturbation.filtered_noise[first + 1, 0], np.broadcast_to(felt, (2, H)))
    same(perturbation.effect[first + 1, 0], felt * one.network.c.drive)
    assert np.abs(felt).max() > 0 and all(np.isfinite(x).all() for x in tf.nest.flatten(after))


def test_the_bound_is_one_of_both_signs():
    one = Pass("identity euler", Tangent(30.0))
    one.weights = tf.zeros_like(one.weights)
    state, perturbed = one.zero_states()
    change = np.zeros((B, H))
    change[0, 1] = -100.0
    fallen = perturbed._replace(cell=perturbed.cell._replace(activity=tf.constant(change)))
    assert not one(state, fallen)[2].effect.numpy().any()  # without weights, noise moves nothing


@pytest.mark.parametrize(("poison", "perturbation"), [(np.inf, Twin()), (np.nan, Tangent(1e300))])
@pytest.mark.parametrize("mode", taking_turns(["eager", "xla"]))
def test_nan_and_infinity_do_not_last(mode, poison, perturbation):
    """In one unit of one example, among finite ones: XLA's maximum would not see it."""
    one = Pass("hard adaptive", perturbation, enters="current")
    state, perturbed = one.zero_states()
    _, _, healthy, _ = one()
    change = np.zeros((B, H))
    change[0, 1] = poison
    poisoned = perturbed._replace(cell=perturbed.cell._replace(v=tf.constant(change)))
    _, _, perturbation, after = MODES[mode](lambda: one(state, poisoned))()
    for field, before in zip(perturbation, healthy):
        assert np.isfinite(field).all() and not field[0, 0].numpy().any() and field[2, 0].numpy().any()
        same(field[:, 1], before[:, 1])
    assert all(np.isfinite(x).all() for x in tf.nest.flatten(after))


def test_a_perturbation_may_be_a_subclass():
    class Mine(Tangent):
        """As the one it extends."""

    class Other(Replica):
        """LSTM units have none."""

    assert isinstance(kk.RNN(kk.LIFCell(H), rule=KeRNL(perturbation=Mine())).rule.perturbation, Mine)
    with pytest.raises(ValueError, match="perturbation must be 'tangent' or 'twin' for LSTMCell, .* received Other"):
        kk.RNN(kk.LSTMCell(H), rule=KeRNL("exponential", perturbation=Other(0.5)))
