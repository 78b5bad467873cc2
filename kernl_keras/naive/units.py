"""Units of every kind, unit by unit and step by step: Eq. (1)-(9); (24); (34); leaky rate units; and (35)."""

from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Enters: TypeAlias = Literal["current", "synapse", "state"]  # where the noise does


def decay(tau, dt, discretization, units):
    """[H] decay factors of one step; tau=None has no memory."""
    if tau is None:
        return np.zeros(units)
    tau = np.broadcast_to(np.asarray(tau, "float64"), units)
    return np.exp(-dt / tau) if discretization == "exponential" else 1.0 - dt / tau


def forward(x, w_in, w_rec, bias, states, fields, step, start=None, noise=None, enters=None):
    """The run of a network: arrays [B, T, H] of the names in `fields`, and `end`, the states after the last step.

    Args:
        states: the number of states of a unit. The last one is what the recurrent weights see.
        step: `(states of a unit, place (b, t, i), its current or currents) -> (values of the fields, states after it)`.
    """
    batch, time, _ = x.shape
    units = len(w_rec)
    run = SimpleNamespace(**{name: np.zeros((batch, time, units)) for name in fields})
    run.end = np.zeros((states, batch, units)) if start is None else np.array(start, "float64")
    for b, t in np.ndindex(batch, time):
        before = run.end[:, b].copy()
        seen = before[-1].copy()
        if noise is not None and enters in ("state", "synapse"):
            seen += noise[b, t]
        if enters == "state":
            before[-1] = seen
        current = bias + x[b, t] @ w_in + seen @ w_rec  # Eq. (1)
        if noise is not None and enters == "current":
            current = current + noise[b, t]
        for i in range(units):
            values, run.end[:, b, i] = step(before[:, i], (b, t, i), *current[i::units])
            for name, value in zip(fields, values):
                getattr(run, name)[b, t, i] = value
    return run


# Leaky spiking units, Eq. (1)-(9)

SPIKING = dict(
    tau_m=20.0, tau_s=5.0, tau_a=200.0, tau_ref=1.0, resistance=None, base_threshold=1.0, adaptation_strength=0.0,
    reset_potential=0.0, reset="hard", dt=1.0, discretization="exponential", surrogate="triangle",
    surrogate_damping=0.3,
)  # fmt: skip


def constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, p, s (decays), R_m, b0, beta, tau_ref, V_reset, ...

    A `surrogate` of your own is called with one number u.

    Example:
        >>> c = constants(2, tau_m=[10.0, 20.0])
        >>> c.a.round(3).tolist(), c.reset
        ([0.905, 0.951], 'hard')
    """
    c = SimpleNamespace(**{**SPIKING, **settings}, units=units)
    c.a, c.p, c.s = (decay(tau, c.dt, c.discretization, units) for tau in (c.tau_m, c.tau_a, c.tau_s))
    c.beta = np.broadcast_to(np.asarray(c.adaptation_strength, "float64"), units)
    c.follows = c.resistance is None  # R_m follows a
    c.resistance = 1.0 / (1.0 - c.a) if c.follows else np.broadcast_to(c.resistance, units)
    c.drive = (1.0 - c.a) * c.resistance
    return c


def pseudo_derivative(v, threshold, c):
    """Eq. (5)."""
    u = (v - threshold) / threshold
    shape = c.surrogate if callable(c.surrogate) else SHAPES[c.surrogate]
    return c.surrogate_damping * float(shape(np.float64(u))) / threshold


def normal(u, mean, std):
    """Density of the normal distribution."""
    return np.exp(-(((u - mean) / std) ** 2) / 2.0) / (std * np.sqrt(2.0 * np.pi))


def yin(u):
    """Yin, Corradi, Bohte, Nature Machine Intelligence 3:905 (2021), with sigma = 1/2, h = 0.15 and s = 6."""
    return 1.15 * normal(u, 0.0, 0.5) - 0.15 * normal(u, 0.5, 3.0) - 0.15 * normal(u, -0.5, 3.0)


SHAPES = {
    "triangle": lambda u: max(0.0, 1.0 - abs(u)),
    "exponential": lambda u: np.exp(-abs(u) / 2.0),
    "fast_sigmoid": lambda u: 1.0 / (1.0 + 10.0 * abs(u)) ** 2,
    "arctan": lambda u: 1.0 / (1.0 + (np.pi * u) ** 2),
    "gaussian": lambda u: normal(u, 0.0, 0.5) / normal(0.0, 0.0, 0.5),
    "multi_gaussian": lambda u: yin(u) / yin(0.0),
    "boxcar": lambda u: 1.0 if abs(u) < 0.5 else 0.0,
}


def fire(potential, threshold, smooth, place):
    """Eq. (4): z, and whether there is a spike; of a smooth run z moves with the distance to the threshold."""
    if smooth is None:
        z = 1.0 if potential >= threshold else 0.0
        return z, z
    moved = potential - threshold - (smooth.potential[place] - smooth.threshold[place])
    return smooth.z[place] + smooth.psi[place] * moved, smooth.z[place]


def adapts_by(c, i, psi):
    """b(t) by z(t), Eq. (6): 1 - p, or less where b(t) by b(t-1) would be below -1."""
    p, beta = c.p[i], c.beta[i]
    return 1.0 - p if p - (1.0 - p) * beta * psi >= -1.0 else (1.0 + p) / (beta * psi)


def adapted(c, i, b, psi, z, event):
    """b(t), Eq. (6)."""
    return c.p[i] * b + adapts_by(c, i, psi) * (z - event) + (1.0 - c.p[i]) * event


FIELDS = ("potential", "threshold", "on", "psi", "z", "v", "b", "r", "s")


def spiking(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    start: Array | None = None,
    noise: Array | None = None,
    enters: Enters | None = None,
    smooth: SimpleNamespace | None = None,
    stop_reset: bool = False,
    heard: Array | None = None,
) -> SimpleNamespace:
    """Eq. (1)-(9), as `LIFCell` has them: arrays [B, T, H] named in `FIELDS`; the states are V, b, r, S.

    Example: a constant current, one unit, which spikes and is reset.

    >>> x, w, bias = np.full((1, 40, 1), 1.0), np.ones((1, 1)), np.zeros(1)
    >>> run = spiking(x, w, 0.0 * w, bias, constants(1, resistance=2.0))
    >>> np.flatnonzero(run.z[0, :, 0]).tolist()  # every 14 steps, and one refractory step
    [13, 28]
    """

    def step(state, place, current):
        v, b, r, s = state
        i = place[-1]
        threshold = c.base_threshold + c.beta[i] * b
        on = r < c.dt
        potential = v
        if on if smooth is None else smooth.on[place]:
            potential = c.a[i] * v + (1.0 - c.a[i]) * c.resistance[i] * current
        psi = pseudo_derivative(potential, threshold, c) if on else 0.0
        z, event = fire(potential, threshold, smooth, place)
        reset = event if stop_reset else z
        if c.reset == "soft":
            v = potential - threshold * reset
        else:
            v = potential * (1.0 - reset) + c.reset_potential * reset
        b = adapted(c, i, b, psi if smooth is None else smooth.psi[place], z, event)
        r = max(r - c.dt, 0.0) + c.tau_ref * event
        s = c.s[i] * s + (z if heard is None else heard[place])
        return (potential, threshold, on, psi, z, v, b, r, s), (v, b, r, s)

    run = forward(x, w_in, w_rec, bias, 4, FIELDS, step, start, noise, enters)
    run.output, run.seen = run.z, run.s
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold, "reset_voltage": run.v}
    run.slope, run.gate = run.psi, run.on
    return run


# Resonators, Eq. (24), (4)-(6), (9), in complex numbers

RESONATOR = dict(
    tau_m=300.0, period=30.0, tau_s=None, tau_a=10.0, base_threshold=1.0, adaptation_strength=10.0, dt=1.0,
    surrogate="exponential", surrogate_damping=0.3,
)  # fmt: skip


def resonator_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: lambda (complex), p, s (decays), b0, beta, ...

    Example:
        >>> bool(np.isclose(resonator_constants(1, tau_m=1e9, period=4.0).turn[0], 1j))  # a quarter of a turn a step
        True
    """
    c = SimpleNamespace(**{**RESONATOR, **settings}, units=units)
    tau_m, period = (np.broadcast_to(np.asarray(value, "float64"), units) for value in (c.tau_m, c.period))
    c.turn = np.exp(c.dt * (-1.0 / tau_m + 2j * np.pi / period))
    c.p, c.s = (decay(tau, c.dt, "exponential", units) for tau in (c.tau_a, c.tau_s))
    c.beta = np.broadcast_to(np.asarray(c.adaptation_strength, "float64"), units)
    c.drive = np.full(units, c.dt)
    return c


def resonator(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    start: Array | None = None,
    noise: Array | None = None,
    enters: Enters | None = None,
    smooth: SimpleNamespace | None = None,
    stop_reset: bool = False,
    heard: Array | None = None,
) -> SimpleNamespace:
    """Eq. (24), (4)-(6), (9), as `ResonatorCell` has them; the states are Re U, Im U, b, S, and there is no reset.

    Example: an input at the first step, and the potential swings with the period of 4 steps.

    >>> x, w, bias = np.array([[[0.1], [0.0], [0.0], [0.0], [0.0]]]), np.ones((1, 1)), np.zeros(1)
    >>> run = resonator(x, w, w, bias, resonator_constants(1, tau_m=1e9, period=4.0))
    >>> (run.potential[0, :, 0].round(3) + 0.0).tolist()
    [0.1, 0.0, -0.1, 0.0, 0.1]
    """

    def step(state, place, current):
        real, imaginary, b, s = state
        i = place[-1]
        u = c.turn[i] * complex(real, imaginary) + c.dt * current
        threshold = c.base_threshold + c.beta[i] * b
        psi = pseudo_derivative(u.real, threshold, c)
        z, event = fire(u.real, threshold, smooth, place)
        b = adapted(c, i, b, psi if smooth is None else smooth.psi[place], z, event)
        s = c.s[i] * s + (z if heard is None else heard[place])
        return (u.real, threshold, psi, z, u.imag, b, s), (u.real, u.imag, b, s)

    fields = ("potential", "threshold", "psi", "z", "quadrature", "b", "s")
    run = forward(x, w_in, w_rec, bias, 4, fields, step, start, noise, enters)
    run.output, run.seen = run.z, run.s
    run.v = run.potential
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold}
    run.slope, run.gate = run.psi, np.ones_like(run.z)
    return run


# Leaky units with an adaptation current, Eq. (34), (5), (9)

ADLIF = dict(
    tau_m=10.0, tau_a=100.0, tau_s=None, coupling=60.0, adaptation_strength=120.0, base_threshold=1.0, resistance=None,
    dt=1.0, surrogate="gaussian", surrogate_damping=0.3,
)  # fmt: skip


def adlif_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, p, s (decays), A, b, b0, ...

    Example:
        >>> c = adlif_constants(2, tau_m=[10.0, 20.0], resistance=1.0)
        >>> c.a.round(3).tolist(), c.drive.round(3).tolist()
        ([0.905, 0.951], [0.095, 0.049])
    """
    c = SimpleNamespace(**{**ADLIF, **settings}, units=units)
    c.a, c.p, c.s = (decay(tau, c.dt, "exponential", units) for tau in (c.tau_m, c.tau_a, c.tau_s))
    c.couples, c.beta = (np.broadcast_to(np.asarray(x, "float64"), units) for x in (c.coupling, c.adaptation_strength))
    c.resistance = 1.0 / (1.0 - c.a) if c.resistance is None else np.broadcast_to(c.resistance, units)
    c.drive = (1.0 - c.a) * c.resistance
    return c


def adlif(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    noise: Array | None = None,
    enters: Enters | None = None,
) -> SimpleNamespace:
    """Eq. (34), as `AdLIFCell` has it; the states are V, w, S.

    Example: an input at the first step; the potential swings below 0 and comes back.

    >>> x, w, bias = np.array([[[1.0]] + 40 * [[0.0]]]), np.ones((1, 1)), np.zeros(1)
    >>> run = adlif(x, w, 0.0 * w, bias, adlif_constants(1, resistance=1.0))
    >>> np.sign(run.potential[0, ::8, 0]).tolist()
    [1.0, -1.0, -1.0, 1.0, -1.0, -1.0]
    """

    def step(state, place, current):
        v, w, s = state
        i = place[-1]
        potential = c.a[i] * v + (1.0 - c.a[i]) * (c.resistance[i] * current - w)
        z = 1.0 if potential >= c.base_threshold else 0.0
        v = 0.0 if z else potential
        w = c.p[i] * w + (1.0 - c.p[i]) * (c.couples[i] * v + c.beta[i] * z)
        s = c.s[i] * s + z
        return (potential, pseudo_derivative(potential, c.base_threshold, c), z, v, w, s), (v, w, s)

    fields = ("potential", "psi", "z", "v", "w", "s")
    run = forward(x, w_in, w_rec, bias, 3, fields, step, noise=noise, enters=enters)
    run.output, run.seen = run.z, run.s
    return run


# Leaky rate units; those with a period in complex numbers

RATE = dict(tau=None, period=None, activation="tanh", dt=1.0, discretization="exponential")
ACTIVATIONS = {  # f(g), f'(g)
    "tanh": lambda g: (np.tanh(g), 1.0 / np.cosh(g) ** 2),
    "relu": lambda g: (max(g, 0.0), float(g > 0.0)),
    "identity": lambda g: (g, 1.0),
}


def rate_constants(units: int, **settings: Any) -> SimpleNamespace:
    """The constants of one unit's step: a, the complex factor of a unit with a period, f, dt.

    Example:
        >>> rate_constants(2, tau=[10.0, 20.0]).a.round(3).tolist()
        [0.905, 0.951]
    """
    c = SimpleNamespace(**{**RATE, **settings}, units=units)
    c.a = decay(c.tau, c.dt, c.discretization, units)
    c.turn = c.a if c.period is None else c.a * np.exp(2j * np.pi * c.dt / np.asarray(c.period))
    c.drive = 1.0 - c.a if c.period is None else np.sqrt(1.0 - c.a**2)
    return c


def rate(
    x: Array,
    w_in: Array,
    w_rec: Array,
    bias: Array,
    c: SimpleNamespace,
    start: Array | None = None,
    noise: Array | None = None,
    enters: Enters | None = None,
) -> SimpleNamespace:
    """Leaky rate units, as `LeakyRNNCell` has them; `enters` "state" is noise on h(t-1) itself.

        h(t) = a h(t-1) + (1-a) f(g(t)),        g(t) = x(t) W_in + h(t-1) W_rec + bias

    Example:
        >>> x, w, bias = np.ones((1, 3, 1)), np.ones((1, 1)), np.zeros(1)
        >>> c = rate_constants(1, tau=1.0 / np.log(2.0), activation="identity")  # a = 1/2
        >>> rate(x, w, 0.0 * w, bias, c).output[0, :, 0].round(3).tolist()
        [0.5, 0.75, 0.875]
    """

    def step(state, place, g):
        i = place[-1]
        value, slope = ACTIVATIONS[c.activation](g)
        before = state[0] if c.period is None else complex(state[1], state[0])
        u = c.turn[i] * before + c.drive[i] * value
        return (u.real, slope, u.imag), (u,) if c.period is None else (u.imag, u.real)

    states, fields = 1 if c.period is None else 2, ("output", "slope", "quadrature")
    run = forward(x, w_in, w_rec, bias, states, fields, step, start, noise, enters)
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = c.drive * run.slope
    run.gate = run.psi = np.ones_like(run.output)
    return run


# LSTM units, Eq. (35)


def lstm(x: Array, w_in: Array, w_rec: Array, bias: Array, noise: Array | None = None) -> SimpleNamespace:
    """Eq. (35), as `LSTMCell` has it. The weights of gate number n into unit i are column n H + i.

    Args:
        noise: on h(t-1) as the recurrent weights see it.

    Returns:
        namespace of [B, T, H] arrays: the gates i, f, g, o; memory c, memory before the step c0, output h.

    Example: gates half open, and a candidate of tanh(1): 0.5 * 0.762.

    >>> run = lstm(np.ones((1, 1, 1)), np.array([[0.0, 0.0, 1.0, 0.0]]), np.zeros((1, 4)), np.zeros(4))
    >>> run.c.ravel().round(3).tolist()
    [0.381]
    """

    def step(state, place, *currents):
        c0, _ = state
        i, f, _, o = 1.0 / (1.0 + np.exp(-np.array(currents)))
        g = np.tanh(currents[2])
        c = f * c0 + i * g
        h = o * np.tanh(c)
        return (i, f, g, o, c, c0, h), (c, h)

    fields = ("i", "f", "g", "o", "c", "c0", "h")
    run = forward(x, w_in, w_rec, bias, 2, fields, step, noise=noise, enters="synapse")
    run.output = run.h
    return run
