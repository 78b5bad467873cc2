"""`AudioEncoder`: from sound to the spikes, or currents, of input units."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import integer, number, one_of, time_steps
from ..dynamics.audio import COMPRESSIONS, RELEASE, band_power, framed, mel_filters
from ..keras_version import IS_KERAS_3, keras, output_shape, serializable
from ..sequences.leaky import leaky
from ..types import Code, Compression, Config
from .encoder import SpikeEncoder
from .stateful import StatefulLayer


@serializable
class AudioEncoder(StatefulLayer):
    """Input units that encode the power of sound in bands of frequencies, one time step every `hop`.

        E_b(t) = sum_k W_kb |X_k(t)|^2                                         power in band b
        y = log(1 + E / E_0) / log(1 + 1 / E_0)                                "log"
        y = (E / (10^-3 L + 10^-11 + M) + 2)^0.5 - 2^0.5                       "pcen"
        M(t) = running mean of E,    L(t) = max(sum_b E_b(t), exp(-hop / 2000 ms) L(t - 1))

    X(t) is the Fourier transform of a frame, weighted by a Hann window; W has triangles evenly spaced on the mel scale.
    E is scaled to about 1 for a sine of amplitude 1 in the middle of a band, and E_0 = 10^-6. "log" keeps the loudness,
    from 0 to about 1. "pcen" (per-channel energy normalization) divides by the running mean M, so that steady sounds
    fade; M(0) = E(0). Its floor follows the level L of the channel, which rises at once and falls slowly: a soft voice
    looks like a loud one down to L = 10^-8 (80 dB below a sine of amplitude 1), and sounds 30 dB below the voice hardly
    count. A `SpikeEncoder` then encodes y by its `code`.

    Frames end where steps end: step t depends on the `frame` before it, and on nothing later. Before a sequence is
    silence. So a stateful layer gives the same in pieces as in one call.

    Args:
        bands: number of bands.
        code, units, gain, seed, stateful, delta, period: as of the `SpikeEncoder`, with `units` channels per band; the
            code "current" sends y itself. A stateful layer needs pieces of whole hops.
        sampling_rate: of the sound, in Hz.
        frame, hop: length of a frame and time from one to the next, in ms; whole numbers of samples, hop <= frame.
        low, high: the bands lie between them, in Hz; `high=None` for half of the sampling rate.
        compression: "pcen" or "log".
        tau: time constant of the running mean M, in ms; for "pcen" only, None for 400.
        **kwargs: `name`, `dtype` and the other arguments of a Keras layer.

    Call arguments:
        inputs: sound [B, N, F] in [-1, 1], of F channels (1 for mono).
        training: as of the `SpikeEncoder`.
        mask: True where a sample counts [B, N]; None where all do. A step counts if all samples of its frame do. A
            stateful layer takes none: a stream has no padding.

    Returns:
        [B, T, F bands units], with T = N // (samples in a hop). The samples that fill no hop are left out.

    Raises:
        ValueError: for a setting out of range, for bands so narrow that no frequency of the transform lies in one, for
            inputs that are not [B, N, F] or shorter than a hop, and of a stateful layer for a mask and for pieces that
            are not whole hops.

    Example: one second at 8 kHz becomes 100 steps of 40 bands.

    >>> import tensorflow as tf, kernl_keras as kk
    >>> kk.AudioEncoder(40)(tf.zeros((2, 8000, 1))).shape
    TensorShape([2, 100, 40])

    References: Davis, Mermelstein, Comparison of parametric representations for monosyllabic word recognition (1980),
    for filters on the mel scale; Wang, Getreuer, Hughes, Lyon, Saurous, Trainable frontend for robust and far-field
    keyword spotting (2017), for "pcen"; there the floor does not follow the level.
    """

    def __init__(
        self,
        bands: int = 40,
        code: Code = "current",
        units: int = 1,
        sampling_rate: float = 8000.0,
        frame: float = 25.0,
        hop: float = 10.0,
        low: float = 80.0,
        high: float | None = None,
        compression: Compression = "pcen",
        tau: float | None = None,
        gain: float = 1.0,
        seed: int | None = None,
        stateful: bool = False,
        delta: float | None = None,
        period: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(stateful, **kwargs)
        self.bands = integer("bands", bands)
        self.sampling_rate = number("sampling_rate", sampling_rate, above=0.0)
        self.frame, self.hop = number("frame", frame, above=0.0), number("hop", hop, above=0.0)
        self.frame_length, self.hop_length = self._samples("frame", self.frame), self._samples("hop", self.hop)
        if self.hop > self.frame:
            raise ValueError(f"hop must be at most frame, {self.frame:g} ms; received {hop!r}.")
        half = self.sampling_rate / 2.0
        self.high = None if high is None else number("high", high, above=0.0, high=half)
        self.low = number("low", low, low=0.0)
        if self.low >= (self.high or half):
            raise ValueError(f"low must be below high, {self.high or half:g} Hz; received {low!r}.")
        self.compression = one_of("compression", compression, COMPRESSIONS)
        self.tau = None if tau is None else number("tau", tau, above=0.0)
        if tau is not None and compression != "pcen":
            raise ValueError(f"tau must be None unless compression='pcen'; received {tau=} and {compression=}.")
        high = self.high or half
        self.filters = mel_filters(self.bands, self.frame_length, self.sampling_rate, self.low, high)  # [bins, bands]
        if empty := int(np.sum(~np.any(self.filters, axis=0))):
            raise ValueError(
                f"bands must be so few, or frame so long, that each band has a frequency of the transform; received "
                f"bands={bands!r} and frame={frame!r}, which leave {empty} without."
            )
        self.encoder = SpikeEncoder(
            units, code, gain=gain, seed=seed, stateful=stateful, delta=delta, period=period, dtype="float32"
        )

    def _samples(self, name, milliseconds):
        """The number of samples in so many milliseconds."""
        samples = milliseconds * self.sampling_rate / 1000.0
        if round(samples) < 1 or abs(samples - round(samples)) > 1e-6 * samples:
            raise ValueError(
                f"{name} must be a whole number of samples; received {milliseconds!r} ms, {samples:g} samples at "
                f"{self.sampling_rate:g} Hz."
            )
        return integer(name, round(samples))

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = self.compute_output_shape(input_shape)  # checks the shape
        batch, channels = input_shape[0], input_shape[2]
        self.encoder.build((batch, shape[1], channels * self.bands))
        states: list[tuple[Any, ...]] = [(batch, channels, self.frame_length - self.hop_length)]  # the last samples
        if self.compression == "pcen":  # the running sums of power and of weights, and the level
            states += [(batch, channels * self.bands + 1), (batch, channels)]
        self.build_states(input_shape, *((state, tf.float32) for state in states))
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        shape = self.check_inputs(inputs)
        if self.stateful and mask is not None:
            raise ValueError("mask must be None for stateful=True, as a stream has no padding; received a mask.")
        x, counted = tf.cast(inputs, tf.float32), None
        if mask is not None:
            mask = tf.nest.flatten(mask)[0]
            x = tf.where(tf.cast(mask, tf.bool)[..., None], x, tf.zeros_like(x))
            counted = self._frames_that_count(mask)
        x = tf.transpose(x, (0, 2, 1))  # [B, F, N]
        kept = self.frame_length - self.hop_length
        before = self.states[0] if self.stateful else tf.zeros((*tf.unstack(tf.shape(x))[:2], kept))
        before = tf.convert_to_tensor(before)
        left = [tf.concat([before, x], axis=-1)[..., tf.shape(x)[-1] :]]
        power = band_power(framed(x, before, self.frame_length, self.hop_length), self.filters)  # [B, F, T, bands]
        power = tf.transpose(power, (0, 2, 1, 3))
        total = tf.reduce_sum(power, -1)  # [B, T, F]
        power = tf.reshape(power, (*tf.unstack(tf.shape(power))[:2], inputs.shape[2] * self.bands))
        past = []  # further inputs of the compression
        if self.compression == "pcen":
            weighted = tf.concat([power, tf.ones_like(power[..., :1])], -1)
            sums, last_sums = self._over_time(weighted, 1, self.tau or 400.0, counted)
            mean = tf.math.divide_no_nan(sums[..., :-1], sums[..., -1:])  # of all steps so far, with weights that fade
            level, last_level = self._over_time(total, 2, RELEASE, counted, maximum=True)
            past = [mean, tf.repeat(level, self.bands, axis=-1)]
            left += [last_sums, last_level]
        y = COMPRESSIONS[self.compression](power, *past)
        y = tf.ensure_shape(y, (*shape[:2], inputs.shape[2] * self.bands))
        outputs = self.encoder(y, training=training, mask=counted)
        if self.stateful:
            self.go_on_with(left, inputs)
        return tf.cast(outputs, self.compute_dtype)

    def _over_time(self, x, number, tau, counted, maximum=False):
        """The leaky sum or maximum over the counted steps of x [B, T, n], and its last step, a state of the layer."""
        x, decay = tf.transpose(x, (1, 0, 2)), math.exp(-self.hop / tau)
        if counted is not None:
            counted = tf.cast(tf.transpose(counted), x.dtype)[..., None]  # [T, B, 1]
            x = tf.where(counted > 0.0, x, tf.zeros_like(x))
            decay = 1.0 - (1.0 - decay) * counted
        start = self.states[number] if self.stateful else tf.zeros_like(x[0])
        levels = leaky(x, decay, tf.convert_to_tensor(start), maximum)
        return tf.transpose(levels, (1, 0, 2)), levels[-1]

    def _frames_that_count(self, mask):
        """True where all samples of a frame count [B, T], from a mask [B, N]. Samples before the sequence count."""
        ops = keras.ops if IS_KERAS_3 else tf  # Keras 3 calls compute_mask with symbolic tensors
        missing = ops.cumsum(1 - ops.cast(mask, "int32"), axis=1)  # so far
        before = ops.pad(missing, [[0, 0], [self.frame_length, 0]])[:, : -self.frame_length]  # a frame ago
        return ops.equal(missing - before, 0)[:, self.hop_length - 1 :: self.hop_length]

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor | None:
        return None if mask is None else self._frames_that_count(mask)

    def reset_state(self) -> None:
        """The next call begins new sequences."""
        super().reset_state()
        self.encoder.reset_state()

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        samples = time_steps("inputs", input_shape)
        if samples is not None and samples < self.hop_length:
            raise ValueError(
                f"inputs must have at least the {self.hop_length} samples of a hop; received shape "
                f"{tuple(input_shape)}."
            )
        if samples is not None and self.stateful and samples % self.hop_length:
            raise ValueError(
                f"inputs must be whole hops of {self.hop_length} samples, as stateful=True; received shape "
                f"{tuple(input_shape)}."
            )
        if input_shape[2] is None:
            raise ValueError(f"inputs must have a known number of channels; received shape {tuple(input_shape)}.")
        steps = None if samples is None else samples // self.hop_length
        return output_shape(input_shape[0], steps, input_shape[2] * self.bands * self.encoder.units)

    def get_config(self) -> Config:
        encoder = {name: getattr(self.encoder, name) for name in ("code", "units", "gain", "seed", "delta", "period")}
        own = ("bands", "sampling_rate", "frame", "hop", "low", "high", "compression", "tau", "stateful")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}, **encoder}
