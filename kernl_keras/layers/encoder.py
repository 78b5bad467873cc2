"""`SpikeEncoder`: from sequences of values to the spikes of input units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import integer, number, one_of, time_steps
from ..draws import add_counter, check_seed, fixed_key, next_key, uniform
from ..dynamics.encoding import CODES, context_code
from ..keras_version import output_shape, serializable
from ..replicas import rows_before
from ..sequences.leaky import leaky
from ..sequences.masks import marks
from ..types import Code, Config
from .stateful import StatefulLayer

FOLLOWING = {"delta": 1, "latency": 2}  # codes that loop over time: how many states they have


@serializable
class SpikeEncoder(StatefulLayer):
    """Input units that encode values, and a context unit that signals the end of the input.

    - "bernoulli": a spike with probability gain x(t), cut to [0, 1]
    - "threshold": a spike when gain x crosses one of units / 2 values, evenly spaced inside (0, 1): upwards in the
      first units / 2 channels, downwards in the others
    - "current": gain x(t)
    - "population": how near gain x(t) is to the value that a channel prefers, exp(-(gain x - mu_j)^2 / (2 sigma^2));
      mu_j is evenly spaced from 0 to 1, and sigma = 1 / (1.5 (units - 1))
    - "delta": units / 2 pairs of channels, of which the first units / 2 are for up and the others for down. Pair j
      follows gain x by a reference, 0 at the start: where gain x is at least j `delta` above or below it, the channel
      for up or for down spikes, and the reference moves by j `delta`, at most once a step
    - "latency": in every `period` steps one spike, earlier for a larger gain x of the period's first step; none
      where that is <= 0

    x is 0 before the first step. With a `context_switch` the last feature is not encoded but summed up over time, and
    the last output channel is the context: 0 until the sum exceeds `context_switch`, then 1. "delta" and "latency", and
    that sum where there is a `reset`, loop over time.

    Args:
        units: number of channels per feature; even for "threshold" and "delta", at least 2 for "population".
        code: one of the codes listed above.
        context_switch: the sum at which the context channel switches on; None for no context channel.
        gain: factor of the values, > 0.
        seed: integer >= 0, for the "bernoulli" code; None draws a seed, which the config keeps.
        stateful: whether a call continues the sequences of the call before, as in Keras' recurrent layers. Draws then
            depend on the number of steps since `reset_state()`, not on how the sequence is cut. It needs a static batch
            size.
        delta: > 0, for the code "delta" only; None for 0.1.
        period: in steps, for the code "latency" only; None for 16.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: values [B, T, F], usually in [0, 1].
        training: if True, every call draws anew; of a stateful layer, every sequence. Otherwise all draw the same.
        mask: True where a step counts [B, T]; None where all do. The outputs of the others mean nothing, and later
            steps continue from the last one that counts.
        reset: as of `RNN`: True where an example starts a new sequence [B, T]. x before it is 0, and the sum, the
            reference of "delta" and the period of "latency" start anew.

    Returns:
        [B, T, F units], or [B, T, (F - 1) units + 1] with a context channel. What is NaN or infinite is NaN in all of
        its channels.

    Raises:
        ValueError: for a setting out of range, for inputs that are not [B, T, F], or without a feature to encode.

    Example: a pixel and the context input become 80 input units and the context unit.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> kk.SpikeEncoder(80, context_switch=784)(tf.ones((25, 838, 2))).shape
    TensorShape([25, 838, 81])

    Reference: for threshold crossings, Bellec et al., arXiv:1803.09574 (2018). For the other codes see
    `kernl_keras.dynamics.encoding`.
    """

    def __init__(
        self,
        units: int,
        code: Code = "bernoulli",
        context_switch: int | None = None,
        gain: float = 1.0,
        seed: int | None = None,
        stateful: bool = False,
        delta: float | None = None,
        period: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(stateful, **kwargs)
        self.units = integer("units", units)
        self.code = one_of("code", code, CODES)
        if code in ("threshold", "delta") and self.units % 2:
            raise ValueError(f"units must be even for {code=}, half up and half down; received {units!r}.")
        if code == "population" and self.units < 2:
            raise ValueError(f"units must be >= 2 for {code=}; received {units!r}.")
        self.delta = None if delta is None else number("delta", delta, above=0.0)
        self.period = None if period is None else integer("period", period)
        for name, needed in (("delta", "delta"), ("period", "latency")):
            if (given := getattr(self, name)) is not None and code != needed:
                raise ValueError(f"{name} must be None unless code={needed!r}; received {name}={given!r} and {code=}.")
        self.context_switch = None if context_switch is None else integer("context_switch", context_switch, low=0)
        self.gain = number("gain", gain, above=0.0)
        # A drawn seed is kept as a given one is: a loaded model evaluates like the saved one.
        self.seed = check_seed(seed)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)  # checks the shape
        if self.code == "bernoulli":
            self.draws = add_counter(self)
        features = self._encoded_features(input_shape)
        code_states = {"threshold": [features], "delta": [features * self.units // 2], "latency": [1, features]}
        sizes = [*code_states.get(self.code, ()), *([] if self.context_switch is None else [1])]  # and the sum
        steps = [((), tf.int64)] if self.code == "bernoulli" else []  # their number so far
        self.build_states(input_shape, *(((input_shape[0], size), tf.float32) for size in sizes), *steps)
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
        reset: tf.Tensor | None = None,
    ) -> tf.Tensor:
        shape = self.check_inputs(inputs)
        steps = marks(inputs, mask, reset).steps()
        x = tf.cast(inputs, tf.float32)  # bfloat16 counts no further than 256
        if steps is not None:
            x = tf.where(steps.mask[..., None], x, tf.zeros_like(x))  # NaN there would reach gradients
        states: Any = iter(())
        outputs, given, left = None, {}, []
        features = self._encoded_features(inputs.shape)
        values, counted = self.gain * x[..., :features], x[..., features:]
        bad = tf.where(tf.math.is_finite(x), tf.zeros_like(x), np.nan)  # a comparison would make 0 or 1 of it
        if self.stateful:
            states = map(tf.convert_to_tensor, self.states)
        if self.code in FOLLOWING:
            before = [next(states) for _ in range(FOLLOWING[self.code])] if self.stateful else None
            outputs, left = self._followed(values, steps, before)
        elif self.code == "threshold":
            given["before"], last = _before_each(values, steps, next(states, None))
            left.append(last)
        if self.context_switch is not None:
            total, last = _summed(counted, steps, next(states, None))
            left.append(last)
        if self.code == "bernoulli" and self.stateful:
            so_far = next(states)
            outputs = self._drawn(values, so_far, training)
            left.append(so_far + tf.cast(tf.shape(x)[1], so_far.dtype))
        elif self.code == "bernoulli":
            key = next_key(self.seed, self.draws, inputs) if training else fixed_key(self.seed)
            given = {"key": key, "first": rows_before(tf.shape(x)[0])}
        if outputs is None:
            outputs = CODES[self.code](values, self.units, **given)
        outputs += tf.repeat(bad[..., :features], self.units, axis=-1)
        if self.context_switch is not None:
            context = context_code(counted, self.context_switch, total) + bad[..., features:]
            outputs = tf.concat([outputs, context], axis=-1)
        if self.stateful:
            self.go_on_with(left, inputs)
            outputs = tf.ensure_shape(outputs, shape)  # for an export
        return tf.cast(outputs, self.compute_dtype)

    def _drawn(self, x, so_far, training):
        """Bernoulli spikes, drawn row by row from one long draw, a row for each step."""
        if training:
            with tf.control_dependencies([x]):
                self.draws.assign(self.draws + tf.cast(tf.equal(so_far, 0), tf.int32))  # a new sequence
        key = tf.stack([self.seed, tf.convert_to_tensor(self.draws) if training else 0])
        probability = tf.repeat(tf.transpose(x, (1, 0, 2)), self.units, axis=-1)  # [T, B, n]
        spikes = tf.cast(uniform(tf.shape(probability), key, so_far) < probability, x.dtype)
        return tf.transpose(spikes, (1, 0, 2))

    def _followed(self, x, steps, before):
        """Spikes of a code that loops over time, none at masked steps, and the states after the last step."""
        settings = {name: getattr(self, name) for name in ("delta", "period") if getattr(self, name) is not None}
        starts = None
        if steps is not None:
            x = steps.gather(x)
            starts = None if steps.starts is None else tf.transpose(steps.starts)
        outputs, states = CODES[self.code](x, self.units, before=before, starts=starts, with_states=True, **settings)
        if steps is None:
            return outputs, [state[:, -1] for state in states]
        first = [tf.zeros_like(state[:, 0]) for state in states] if before is None else before
        return steps.scatter(outputs, zeros=True), [steps.behind(*pair) for pair in zip(states, first)]

    def _encoded_features(self, input_shape):
        return input_shape[-1] - (self.context_switch is not None)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        time_steps("inputs", input_shape)
        if input_shape[-1] is None or self._encoded_features(input_shape) < 1:
            least = 1 if self.context_switch is None else 2
            raise ValueError(f"inputs must have a known last axis >= {least}; received shape {tuple(input_shape)}.")
        channels = self._encoded_features(input_shape) * self.units + (self.context_switch is not None)
        return output_shape(*input_shape[:-1], channels)

    def get_config(self) -> Config:
        names = ("units", "code", "context_switch", "gain", "seed", "stateful", "delta", "period")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _before_each(x, steps, first):
    """x(t-1) for each step t, within a sequence [B, T, F], `first` at the start or 0, and x of the last step [B, F]."""
    first = tf.zeros_like(x[:, 0]) if first is None else first
    x = x if steps is None else steps.gather(x)
    before = tf.concat([first[:, None], x[:, :-1]], 1)
    if steps is None:
        return before, x[:, -1]
    if steps.starts is not None:
        before = tf.where(tf.transpose(steps.starts)[..., None], tf.zeros_like(before), before)
    return steps.scatter(before), steps.behind(x, first)


def _summed(x, steps, first):
    """The sum of x over the steps so far, within a sequence [B, T, 1], and after the last step [B, 1]."""
    first = tf.zeros_like(x[:, 0]) if first is None else first
    x = x if steps is None else steps.gather(x)
    if steps is None or steps.starts is None:
        total = first[:, None] + tf.cumsum(x, axis=1)
    else:
        goes_on = 1.0 - tf.cast(steps.starts, x.dtype)[..., None]
        total = tf.transpose(leaky(tf.transpose(x, (1, 0, 2)), goes_on, first), (1, 0, 2))
    return (total, total[:, -1]) if steps is None else (steps.scatter(total), steps.behind(total, first))
