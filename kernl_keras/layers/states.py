"""How the states of a `kernl_keras.RNN` layer lie in the flat list that Keras carries."""

import math

import tensorflow as tf

from ..rules.perturbed_pass import PerturbedState


class StateLayout:
    """The cell's states; then the perturbed pass's with its filtered noise; then the traces.

    Keras wants one axis a state, so the filtered noise [B, R, H], [B, S, H] and the traces [B, .., H, J] are flattened.

    Args:
        cell: the cell.
        rows: R and S, rows of filtered noise; empty for a rule without M.
        trace_shapes: of the traces without the batch axis, a list.
    """

    def __init__(self, cell, rows, trace_shapes):
        self.cell = cell
        self.rows = rows
        self.trace_shapes = trace_shapes

    @property
    def sizes(self):
        """One int a state."""
        perturbed = [*self.cell.state_size, *(rows * self.cell.units for rows in self.rows)] if self.rows else []
        return [*self.cell.state_size, *perturbed, *map(math.prod, self.trace_shapes)]

    def unpack(self, states):
        """`(cell state, PerturbedState or None, tuple of traces)` from the flat list, each state [B, n]."""
        states = list(states)
        cell_state = self.cell.State(*self._take(states, len(self.cell.state_size)))
        perturbed = None
        if self.rows:
            changes = self.cell.State(*self._take(states, len(self.cell.state_size)))
            of_noise = zip(self._take(states, 2), self.rows)
            perturbed = PerturbedState(changes, *(tf.reshape(x, (-1, rows, self.cell.units)) for x, rows in of_noise))
        return cell_state, perturbed, tuple(tf.reshape(x, (-1, *s)) for x, s in zip(states, self.trace_shapes))

    def pack(self, cell_state, perturbed, traces):
        """The flat list that `unpack` takes apart."""
        rest = [] if perturbed is None else [*perturbed.cell, *map(self._flatten, perturbed[1:])]
        return [*cell_state, *rest, *map(self._flatten, traces)]

    @staticmethod
    def _take(states, count):
        taken = states[:count]
        del states[:count]
        return taken

    @staticmethod
    def _flatten(x):
        return tf.reshape(x, (-1, math.prod(x.shape[1:])))
