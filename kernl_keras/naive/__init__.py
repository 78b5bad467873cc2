"""The equations as they stand on paper: float64 NumPy, loops over b, t, i, j. The oracle of the tests.

Written from the equations and apart from the TensorFlow code; it imports nothing of the package, and no other part of
the package imports it. Sequences are batch-major, [B, T, ...]. Weights of a rule are [J, H], J counting inputs, units
and bias; M is [R, H, H], gamma [R, H].

    loops          those over time that the others share
    spiking        (1)-(9), their tangent (18)
    resonator      (24), (4)-(6), (9), their tangent (18)
    adlif          (34), its tangent (18), its traces
    lstm           (35), its tangent (18), its traces, its windows
    rate           leaky rate units, their tangent (18)
    rules          (10)-(15), (20)-(23), (25), (27), e-prop, RFLO
    sensitivity    (16), (17), (19), (26)
    window         (28), a sweep for every window
    learned        (30), constants that learn
    whole_unit     (36)
    means          (37)-(40), the linear step of every unit and the memory of means

One thing has one name throughout:

Args:
    units, dt: number of units H, length of a step in ms.
    c: constants of a unit, what `constants`, `resonator_constants`, `adlif_constants` and `rate_constants` return.
    x: inputs [B, T, I].
    w_in, w_rec, bias: weights [I, H], [H, H], [H]; of LSTM units 4H in place of the last H.
    start: the states before the first step [states, B, H]; None for zeros.
    noise, enters: noise [B, T, H] on the "current" I(t), on S(t-1) as the recurrent weights see it ("synapse"), or on
        S(t-1) for good ("state"). None for none.
    run: a run, what `spiking`, `resonator`, `adlif`, `lstm` and `rate` return: a namespace of arrays [B, T, H].
    s: presynaptic activity s(t) [B, T, J], what `presynaptic` returns.
    error: L(t) = dC/dz(t), the error that reaches the output [B, T, H].
    psi, h: pseudo-derivative and postsynaptic factor [B, T, H].
    m, gamma: sensitivity tensor [R, H, H], temporal filter [R, H] in 1/ms.
    xi: noise that was given [B, T, H].
    of_current: dC/dI(t) [B, T, H].

Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; Bellec et al., Nature Communications 11:3625 (2020);
Murray, eLife 8:e43299 (2019); Izhikevich, Neural Networks 14:883 (2001).
"""

from .adlif import adlif, adlif_constants, adlif_own_step, adlif_rule, adlif_tangent
from .learned import constant, kicks
from .lstm import lstm, lstm_rule, lstm_tangent, lstm_windows
from .means import errors_behind, linear_steps, means_before, memory_of_means
from .rate import rate, rate_constants, rate_tangent
from .resonator import resonator, resonator_constants, resonator_tangent
from .rules import (
    eprop,
    eprop_alif,
    input_gradient,
    learning_signal,
    membrane,
    network,
    plain,
    presynaptic,
    reverse_network,
    reverse_plain,
    rflo,
    weight_gradient,
)
from .sensitivity import filtered_noise, membrane_sensitivity, sensitivity
from .spiking import FIELDS, constants, follow_reset, spiking, spiking_tangent
from .whole_unit import own_step, whole_unit, whole_unit_sensitivity
from .window import whole_unit_hop, windows

__all__ = [
    "FIELDS", "adlif", "adlif_constants", "adlif_own_step", "adlif_rule", "adlif_tangent", "constant", "constants",
    "eprop", "eprop_alif", "errors_behind", "filtered_noise", "follow_reset", "input_gradient", "kicks",
    "learning_signal", "linear_steps", "lstm", "lstm_rule", "lstm_tangent", "lstm_windows", "means_before",
    "membrane", "membrane_sensitivity", "memory_of_means", "network", "own_step", "plain", "presynaptic", "rate",
    "rate_constants", "rate_tangent", "resonator", "resonator_constants", "resonator_tangent", "reverse_network",
    "reverse_plain", "rflo", "sensitivity", "spiking", "spiking_tangent", "weight_gradient", "whole_unit",
    "whole_unit_hop", "whole_unit_sensitivity", "windows",
]  # fmt: skip
