"""`Readout`: leaky sums over a whole sequence, all steps' matrix products at once."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from ..cells.readout import ReadoutCell
from ..cells.wide import wide_dtype, wide_policy
from ..checks import flag
from ..keras_version import built_eagerly, serializable
from ..rules.filters import Decays
from ..sequences.leaky import leaky
from ..sequences.masks import Marks
from ..types import Config, Discretization, Feedback, TimeConstant
from .stateful import LayerOverCell
from .step import running_step


@serializable
class Readout(LayerOverCell):
    """Leaky means of the hidden spikes, from which the network's answer is read.

        v(t) = d v(t-1) + (1-d) (gain z(t) W_out + bias),  d = exp(-dt / tau_out)

    v is a running mean: a longer tau_out makes it smoother, not larger. `Readout(10)` computes what
    `keras.layers.RNN(ReadoutCell(10))` computes, up to rounding, and trains many times faster: one matrix product does
    all steps, forward and backward, and only the leak runs through time. The gradient is that of automatic
    differentiation:

        dC/dW_out = gain (1-d) sum_t z(t)^T R(t),     R(t) = dC/dv(t) + d R(t+1)

    Args:
        units: number of readout units O.
        tau_out: time constant in ms: a number, `units` numbers, an initializer, or None for no memory (d = 0), as for a
            regression with an answer at every step by units without spikes. With spikes, None suits targets that change
            within a few steps. For slower ones take about a tenth to a third of their time scale: that averages spikes.
        gain: > 0, how much a change of the weights changes v; about 10 for spikes, which are rare, 1 for units without
            spikes. The initial weights are smaller in proportion. None for sums instead of means, v(t) = d v(t-1) +
            z(t) W_out + bias.
        dt: length of a step in ms.
        discretization: "exponential", or "euler" for d = 1 - dt / tau_out.
        learn: "tau_out" if it is to learn. Each unit then has its own, as a weight: the logarithm of tau_out, kept from
            0.1 steps (1.001 with "euler") to 100,000 steps.
        feedback: weights that take the error of v to the layer below: "symmetric" for W_out^T, as in backpropagation;
            "random" for B^T, L(t) = gain (1-d) R(t) B^T, or R(t) B^T with `gain=None`, with weights B [H, O] that are
            drawn once, saved with the model, and never trained. W_out learns as ever.
        traces: whether later errors still reach the spikes of earlier pieces of a sequence, so that the gradients of
            the pieces add up to that of the whole: H+1 numbers for each example, and for each unit where these have
            time constants of their own. In a `kernl_keras.Model` the errors also reach a layer below with linear
            traces. None for True if the layer is `stateful`.
        return_sequences: whether to return v of every step (True by default, unlike in `keras.layers.RNN`).
        **kwargs: the other arguments of `ReadoutCell` (`use_bias`, the initializers, regularizers and constraints of
            kernel and bias, and `feedback_initializer`, of B), and those of `keras.layers.RNN` (`unroll` has no
            effect). The layer computes in float32 at least and casts its outputs to the compute dtype of its `dtype`
            policy; by default that is float32 under mixed precision, too.

    Call arguments:
        sequences: hidden spikes or activities z [B, T, H], T >= 1.
        initial_state: list of v before the first step [B, O], and of the traces; zeros where None.
        mask: True where a step counts [B, T]; None where all do. At the others v stays as it is. Before the first that
            counts, the output is the initial state, where `keras.layers.RNN` gives 0. With `zero_output_for_mask` the
            output of a masked step is 0.
        reset: as of `RNN`: True where an example starts a new sequence, with v = 0 before it [B, T].

    Returns:
        v [B, T, O], or v of the last step [B, O]; with `return_state` also the last v [B, O], and the traces.

    Raises:
        ValueError: for a setting out of range, and for inputs that are not [B, T, H].

    Example:
        >>> import numpy as np, kernl_keras as kk
        >>> tuple(kk.Readout(10, tau_out=20.0)(np.ones((25, 7, 200))).shape)
        (25, 7, 10)

    Source: Bellec et al., arXiv:1803.09574 (2018); Nature Communications 11:3625 (2020), where random feedback is
    "broadcast"; Murray, eLife 8:e43299 (2019).
    """

    STATES, CELL_ARGUMENTS = "v and the traces", ReadoutCell.arguments()

    def __init__(
        self,
        units: int,
        tau_out: TimeConstant | None = 10.0,
        gain: float | None = 10.0,
        dt: float = 1.0,
        discretization: Discretization = "exponential",
        learn: str | Iterable[str] = (),
        feedback: Feedback = "symmetric",
        traces: bool | None = None,
        return_sequences: bool = True,
        **kwargs: Any,
    ) -> None:
        dtype = wide_dtype(kwargs.get("dtype"))
        settings = {name: kwargs.pop(name) for name in self.CELL_ARGUMENTS if name in kwargs}
        cell = ReadoutCell(units, tau_out, gain, dt, discretization, learn, feedback=feedback, dtype=dtype, **settings)
        kwargs["dtype"] = wide_policy(kwargs.get("dtype") or dtype)
        super().__init__(cell, return_sequences, **kwargs)
        self.traces = None if traces is None else flag("traces", traces)
        self.memory: ReadoutTraces | None = None

    @built_eagerly
    def build(self, sequences_shape: Any = None, initial_state_shape: Any = None) -> None:  # no shape: called with None
        self.build_cell(sequences_shape)
        carries = self.stateful if self.traces is None else self.traces
        if carries and self.cell.tau_out is not None:
            self.memory = ReadoutTraces(self.cell)
            self.state_size = [self.cell.units, *self.memory.sizes]
        super().build(sequences_shape)

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], mask: Marks, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Keras' hook: `(last output [B, O], outputs [B, T, O], states)`."""
        model, earlier = running_step(), None
        symmetric = model is not None and model.exact  # where all layers' gradients are backpropagation's
        if model is not None and self.memory is not None and not self.go_backwards:
            earlier = model.earlier_outputs(sequences, mask)
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, [1]), mask.read_backwards()
        steps, mask = (None if mask.reset is None else mask.steps()), mask.mask
        x = tf.transpose(tf.cast(sequences, self.cell.compute_dtype), (1, 0, 2))  # [T, B, H]
        if mask is not None:
            mask = tf.transpose(tf.cast(mask, tf.bool))[..., None]  # [T, B, 1]
            x = tf.where(mask, x, tf.zeros_like(x))  # NaN there would reach the gradient of the weights
        start, *traces = tf.nest.flatten(initial_state)
        # A loop's state must keep its shape, and only one of the two may know the batch size.
        batch = x.shape[1:2].merge_with(start.shape[:1])
        current = self.cell.current(tf.reshape(x, (-1, x.shape[-1])), symmetric)  # one product, [TB, H] x [H, O]
        current = tf.reshape(current, (*tf.unstack(tf.shape(x)[:2]), self.cell.units))
        current = tf.ensure_shape(current, (None, *batch, self.cell.units))  # with T known, tf2onnx fails at the loop
        start = tf.ensure_shape(start, (*batch, self.cell.units))
        decay = tf.cast(self.cell.decay, current.dtype)
        if self.memory is not None:
            traces = [tf.reshape(trace, (-1, *shape)) for trace, shape in zip(traces, self.memory.shapes)]
            start = self.memory.attach(start, traces, earlier, symmetric)
        counts = goes_on = tf.ones_like(current[..., :1])
        if mask is not None:
            counts = goes_on = tf.cast(mask, current.dtype)
            current = tf.where(mask, current, tf.zeros_like(current))
            decay = tf.where(mask, decay, tf.ones_like(decay))
        if steps is not None:
            starts = tf.transpose(steps.starts_in_place())[..., None]
            decay = tf.broadcast_to(decay, tf.shape(current))
            decay = tf.where(starts, tf.zeros_like(decay), decay)
            goes_on = tf.where(starts, tf.zeros_like(goes_on), goes_on)
        outputs = v = tf.ensure_shape(leaky(current, decay, start), (x.shape[0], *current.shape[1:]))
        if mask is not None and self.zero_output_for_mask:
            outputs = tf.where(mask, v, tf.zeros_like(v))
        states = [v[-1]]
        if self.memory is not None and (self.stateful or self.return_state):
            states += map(tf.stop_gradient, self.memory.advance(traces, x, current, decay, v, start, counts, goes_on))
        elif self.memory is not None:
            states += [tf.zeros((tf.shape(x)[1], size), x.dtype) for size in self.memory.sizes]
        states = states if steps is None else steps.left(states)
        return outputs[-1], tf.transpose(outputs, (1, 0, 2)), states

    def get_config(self) -> Config:
        config, settings = super().get_config(), self.cell.get_config()
        del config["cell"]
        frozen = {} if self.cell.trainable else {"cell_trainable": False}  # by hand, in a layer that is trainable
        return {**config, **{name: settings[name] for name in self.CELL_ARGUMENTS}, "traces": self.traces, **frozen}

    @classmethod
    def from_config(cls, config: Config) -> "Readout":
        trainable = config.get("cell_trainable", True)
        layer = cls(**{name: value for name, value in config.items() if name != "cell_trainable"})
        layer.cell.trainable = trainable and layer.cell.trainable
        return layer


class Traces(NamedTuple):
    """Shapes of the traces without the batch axis; None where a readout has none."""

    inputs: Any  # Z
    decay: Any  # Y


class ReadoutTraces:
    """Traces of a built `ReadoutCell`: by them the errors of a piece of a sequence reach the spikes of earlier pieces.

    v(t0-1) is the state between two pieces. It depends on the weights through all spikes before, by traces that are
    exact:

        Z(t) = d Z(t-1) + z(t),                          dC/dW_out += (1-d) gain Z(t0-1)^T R,     R = dC/dv(t0-1)
        Y(t) = d Y(t-1) + v(t-1) - (gain z(t) W_out + bias),        dC/dd += Y(t0-1) R

    Z [B, H+1, O or 1] has one more row for the bias, whose input is 1, and O columns where units have time constants of
    their own. Y [B, O] is there where tau_out learns.

    `shapes` are `Traces`; `sizes` are how many numbers each of them is.
    """

    def __init__(self, cell):
        self.cell = cell
        inputs, units = cell.kernel.shape
        own = cell.decay.shape.rank == 1
        self.shapes = Traces((inputs + 1, units if own else 1), (units,) if cell.learn else None)
        self.sizes = [math.prod(shape) for shape in self.shapes if shape is not None]

    def attach(self, start, traces, earlier, symmetric):
        """v before the first step [B, O], with its gradient by the weights and by earlier outputs of the layer below.

        `earlier` is the `Earlier` of that layer or None; if `symmetric`, it gets the error by W_out in any case.
        """
        cell, dtype = self.cell, start.dtype
        (z, *by_decay), decay = map(tf.stop_gradient, traces), tf.cast(cell.decay, dtype)
        bias = tf.zeros(cell.units, dtype) if cell.bias is None else tf.convert_to_tensor(cell.bias)

        @tf.custom_gradient
        def attached(start, kernel, bias, decay, *tokens):
            def gradient(error):
                scaled = cell.scale(dtype) * error
                if z.shape[-1] == 1:
                    rows = tf.matmul(z[..., 0], scaled, transpose_a=True)  # [H+1, O]
                else:
                    rows = tf.reduce_sum(z * scaled[:, None], 0)
                per_bias = rows[-1] / (cell.gain or 1.0)
                by_d = tf.reduce_sum(by_decay[0] * error, 0) if by_decay else tf.zeros_like(decay)
                gradients = error, rows[:-1], per_bias, by_d
                if not tokens:
                    return gradients
                one_each = error if sequences.count == 1 else tf.eye(cell.units, dtype=dtype)[:, None] * error
                weights = cell.feedback_to(one_each, symmetric)  # [B, H], or [O, B, H]
                weights = tf.reshape(weights, (sequences.count, -1, weights.shape[-1]))
                return *gradients, earlier.weights(sequences, weights)  # Eq. (42)

            return tf.identity(start), gradient

        tokens, sequences = [], Decays(decay)
        if earlier is not None:
            tokens = earlier.tokens[:1]
            earlier.read_by(sequences)
        return attached(start, tf.convert_to_tensor(cell.kernel), bias, tf.broadcast_to(decay, (cell.units,)), *tokens)

    def advance(self, traces, x, current, decay, v, start, counts, goes_on):
        """The traces after the last step, from those before the first.

        Steps read x, which is z [T, B, H], and add current [T, B, O], both 0 where they do not count, to v, which is
        `start` [B, O] before them; decay is a number, [O], or [T, B, 1 or O]. `counts` [T, B, 1] is 1 where a step
        counts, and `goes_on` where it also goes on with the sequence before.
        """
        z, *by_decay = traces
        decay = decay[..., : z.shape[-1]] if decay.shape.rank else decay  # all units have the same, or each its own
        decay = tf.broadcast_to(decay, tf.concat([tf.shape(current)[:2], z.shape[-1:]], 0))
        later = tf.ones_like(decay)  # by which a step's part of v has decayed
        if current.shape[0] != 1:  # else nothing has, and LiteRT has no Cumprod
            later = tf.math.cumprod(decay, 0, exclusive=True, reverse=True)
        kept = later[0] * decay[0]  # [B, 1 or O]
        rows = tf.concat([x, counts], -1)
        after = [kept[:, None] * z + tf.einsum("tbh,tbo->bho", rows, later)]
        if by_decay:
            before = goes_on * tf.concat([start[None], v[:-1]], 0)
            gained = 0.0 if self.cell.gain is None else current / (1.0 - tf.cast(self.cell.decay, current.dtype))
            after.append(kept * by_decay[0] + tf.reduce_sum(later * counts * (before - gained), 0))
        return [tf.reshape(trace, (-1, size)) for trace, size in zip(after, self.sizes)]
