"""The equations as they stand on paper: float64 NumPy, unit by unit, or as sums over named axes. The tests' oracle.

Written from the equations and apart from the TensorFlow code; it imports nothing of the package, and no other part of
the package imports it. Sequences are batch-major, [B, T, ...]. Weights of a rule are [J, H], J counting inputs, units
and bias; M is [R, H, H], gamma [R, H].

    units          (1)-(9), leaky spiking units; (24), resonators; (34), adaptation currents; leaky rates; (35), LSTM
    linear         (37), (38), (43) of any unit: the linear step, noise through it (18), the kernels (25) and (36)
    rules          (10)-(12), (14), (15), (20)-(22), (27), e-prop, RFLO
    sensitivity    (16), (17), (19), (26)
    window         (28), a sweep for every window
    learned        (30), constants that learn
    errors         (44), (39), errors that cross the border of a window
    means          (39), (40), the memory of means

One thing has one name throughout:

Args:
    units, dt: number of units H, length of a step in ms.
    **settings: of the cell in the package; what is left out is as in `SPIKING`, `RESONATOR`, `ADLIF` and `RATE` of
        `naive.units`.
    c: constants of a unit, what `constants`, `resonator_constants`, `adlif_constants` and `rate_constants` return.
    x: inputs [B, T, I].
    w_in, w_rec, bias: weights [I, H], [H, H], [H]; of LSTM units 4H in place of the last H.
    start: the states before the first step [states, B, H]; None for zeros.
    noise, enters: noise [B, T, H] on the "current" I(t), on S(t-1) as the recurrent weights see it ("synapse"), or on
        S(t-1) for good ("state"). None for none.
    smooth: the result of an earlier run. The run then has that one's events, but a spike moves with the distance to
        threshold: z = z0 + psi0 (V- - B - V0- + B0). At the same weights it is the same run, and its ordinary
        derivative is the surrogate's: what backpropagation through time computes.
    stop_reset: whether the smooth run resets by the spikes of the run it is made from.
    heard: spikes [B, T, H] that enter S in place of the run's own.
    run: a run, what `spiking`, `resonator`, `adlif`, `lstm` and `rate` return: a namespace of arrays [B, T, H], and
        `end`, the states after the last step [states, B, H].
    kind: of a unit, the name of the function that made its run.
    steps: the linear step of every unit at every step, what `linear` returns.
    reset_gradient: whether what a reset takes follows the derivative of the spike, Eq. (8).
    kernel, arrival: how a unit that is moved goes on, the membrane alone (`resting`) or the whole unit (`linear`), and
        what moves it, `arrivals` of the kernel.
    s: presynaptic activity s(t) [B, T, J], what `presynaptic` returns.
    error: L(t) = dC/dz(t), the error that reaches the output [B, T, H].
    psi, h: pseudo-derivative and postsynaptic factor [B, T, H].
    m, gamma: sensitivity tensor [R, H, H], of a unit's kernel [H, H]; temporal filter [R, H] in 1/ms.
    hop: what `exponential_hop` or `unit_hop` returns, of `windows` `exponential_back` or `unit_back`; None for none.
    size: C, steps of a window; windows begin at steps 0, C, 2C and so on.
    xi, effect: noise that was given, and D, what it did [B, T, H].
    current_error: dC/dI(t) [B, T, n H], of n currents a unit.

Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; Bellec et al., Nature Communications 11:3625 (2020);
Murray, eLife 8:e43299 (2019); Izhikevich, Neural Networks 14:883 (2001).
"""

from .errors import errors_behind
from .learned import constant, kicks
from .linear import arrivals, linear, linear_steps, resting, tangent
from .means import means_before, memory_of_means
from .rules import exponential_hop, input_gradient, plain, presynaptic, rflo, traces_gradient, unit_hop, weight_gradient
from .sensitivity import filtered_noise, kernel_sensitivity, sensitivity
from .units import (
    FIELDS,
    adlif,
    adlif_constants,
    constants,
    lstm,
    rate,
    rate_constants,
    resonator,
    resonator_constants,
    spiking,
)
from .window import exponential_back, unit_back, windows

__all__ = [
    "FIELDS", "adlif", "adlif_constants", "arrivals", "constant", "constants", "errors_behind", "exponential_back",
    "exponential_hop", "filtered_noise", "input_gradient", "kernel_sensitivity", "kicks", "linear", "linear_steps",
    "lstm", "means_before", "memory_of_means", "plain", "presynaptic", "rate", "rate_constants", "resonator",
    "resonator_constants", "resting", "rflo", "sensitivity", "spiking", "tangent", "traces_gradient", "unit_back",
    "unit_hop", "weight_gradient", "windows",
]  # fmt: skip
