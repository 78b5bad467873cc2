"""Float64 loops over b, t, i, j, written from the equations and apart from the package: the oracle of the tests.

Sequences are batch-major, [B, T, ...]. Weights of the rule are [J, H], J counting inputs, units and bias; M is
[R, H, H], gamma [R, H]. Nothing here is fast, and nothing imports the package.
"""

from types import SimpleNamespace

import numpy as np

SPIKING = dict(
    tau_m=20.0, tau_s=5.0, tau_a=200.0, tau_ref=1.0, resistance=2.0, base_threshold=1.0, adaptation_strength=0.0,
    reset_potential=0.0, reset="hard", dt=1.0, discretization="exponential", surrogate="triangle",
    surrogate_damping=0.3,
)  # fmt: skip
RATE = dict(tau=None, activation="tanh", dt=1.0, discretization="exponential")


def decay(tau, dt, discretization, units):
    """[H] decay factors of one step; tau=None has no memory."""
    if tau is None:
        return np.zeros(units)
    tau = np.broadcast_to(np.asarray(tau, "float64"), units)
    return np.exp(-dt / tau) if discretization == "exponential" else 1.0 - dt / tau


def constants(units, **settings):
    """What one unit's step needs: a, p, s (decays), R_m, b0, beta, tau_ref, V_reset, ..."""
    c = SimpleNamespace(**{**SPIKING, **settings}, units=units)
    c.a, c.p, c.s = (decay(tau, c.dt, c.discretization, units) for tau in (c.tau_m, c.tau_a, c.tau_s))
    c.beta = np.broadcast_to(np.asarray(c.adaptation_strength, "float64"), units)
    c.drive = (1.0 - c.a) * c.resistance
    return c


def current(x, seen, w_in, w_rec, bias, i):
    """Eq. (1) for unit i: the inputs x [I] and the presynaptic activity `seen` [H]."""
    total = bias[i]
    for j in range(len(x)):
        total += x[j] * w_in[j, i]
    for j in range(len(seen)):
        total += seen[j] * w_rec[j, i]
    return total


def pseudo_derivative(v, threshold, c):
    u = (v - threshold) / threshold
    shape = max(0.0, 1.0 - abs(u)) if c.surrogate == "triangle" else np.exp(-abs(u) / 2.0)
    return c.surrogate_damping * shape / threshold


FIELDS = ("potential", "threshold", "on", "psi", "z", "v", "b", "r", "s")


def spiking(x, w_in, w_rec, bias, c, start=None, noise=None, enters=None, smooth=None, stop_reset=False, heard=None):
    """Eq. (1)-(9).

    Args:
        start: [4, B, H] V, b, r, S before the first step.
        noise, enters: [B, T, H] noise on the "current", on S(t-1) as the weights see it ("synapse"), or on S(t-1) for
            good ("state").
        smooth: the result of an earlier run. The run then has that one's events, but a spike moves with the distance
            to threshold: z = z0 + psi0 (V- - B - V0- + B0). At the same weights it is the same run, and its ordinary
            derivative is the surrogate's: what backpropagation through time computes.
        stop_reset: the smooth run resets by the spikes of the run it is made from.
        heard: [B, T, H] spikes that enter S in place of the run's own.

    Returns:
        namespace of [B, T, H] arrays named in `FIELDS`, and `end` [4, B, H].
    """
    batch, time, _ = x.shape
    run = SimpleNamespace(**{name: np.zeros((batch, time, c.units)) for name in FIELDS})
    state = np.zeros((4, batch, c.units)) if start is None else np.array(start, "float64")
    for b in range(batch):
        for t in range(time):
            v0, b0, r0, s0 = state[:, b].copy()
            seen = s0.copy()
            if enters == "state":
                s0 = s0 + noise[b, t]
            if enters in ("state", "synapse"):
                seen = seen + noise[b, t]
            for i in range(c.units):
                total = current(x[b, t], seen, w_in, w_rec, bias, i)
                if enters == "current":
                    total += noise[b, t, i]
                threshold = c.base_threshold + c.beta[i] * b0[i]
                on = r0[i] < c.dt
                potential = v0[i]
                if on if smooth is None else smooth.on[b, t, i]:
                    potential = c.a[i] * v0[i] + (1.0 - c.a[i]) * c.resistance * total
                psi = pseudo_derivative(potential, threshold, c) if on else 0.0
                if smooth is None:
                    z = event = 1.0 if potential >= threshold else 0.0
                else:
                    distance = smooth.potential[b, t, i] - smooth.threshold[b, t, i]
                    event = smooth.z[b, t, i]
                    z = event + smooth.psi[b, t, i] * (potential - threshold - distance)
                reset = event if stop_reset else z
                if c.reset == "soft":
                    v = potential - threshold * reset
                else:
                    v = potential * (1.0 - reset) + c.reset_potential * reset
                adaptation = c.p[i] * b0[i] + (1.0 - c.p[i]) * z
                refractory = max(r0[i] - c.dt, 0.0) + c.tau_ref * event
                trace = c.s[i] * s0[i] + (z if heard is None else heard[b, t, i])
                state[:, b, i] = v, adaptation, refractory, trace
                for name, value in zip(FIELDS, (potential, threshold, on, psi, z, v, adaptation, refractory, trace)):
                    getattr(run, name)[b, t, i] = value
    run.end = state
    run.output, run.seen = run.z, run.s
    run.observed = {"voltage": run.potential, "distance": run.potential - run.threshold, "reset_voltage": run.v}
    run.slope, run.gate = run.psi, run.on
    # Eq. (20): the own leak, and what is left of it after a hard reset.
    run.leak = np.where(run.on > 0, c.a, 1.0)
    run.gain = run.on * c.drive
    run.keep = np.ones_like(run.z) if c.reset == "soft" else 1.0 - run.z
    return run


def rate_constants(units, **settings):
    c = SimpleNamespace(**{**RATE, **settings}, units=units)
    c.a = decay(c.tau, c.dt, c.discretization, units)
    return c


def rate(x, w_in, w_rec, bias, c, start=None, noise=None, enters=None):
    """h(t) = a h(t-1) + (1-a) f(g(t)); `enters` "state" is noise on h(t-1) itself."""
    batch, time, _ = x.shape
    run = SimpleNamespace(output=np.zeros((batch, time, c.units)), slope=np.zeros((batch, time, c.units)))
    state = np.zeros((batch, c.units)) if start is None else np.array(start, "float64")[0]
    for b in range(batch):
        for t in range(time):
            h0 = state[b] + (noise[b, t] if enters == "state" else 0.0)
            seen = h0 + (noise[b, t] if enters == "synapse" else 0.0)
            for i in range(c.units):
                g = current(x[b, t], seen, w_in, w_rec, bias, i)
                if enters == "current":
                    g += noise[b, t, i]
                value, slope = {
                    "tanh": (np.tanh(g), 1.0 / np.cosh(g) ** 2),
                    "relu": (max(g, 0.0), float(g > 0.0)),
                    "identity": (g, 1.0),
                }[c.activation]
                state[b, i] = c.a[i] * h0[i] + (1.0 - c.a[i]) * value
                run.output[b, t, i], run.slope[b, t, i] = state[b, i], slope
    run.end = state[None]
    run.seen, run.observed = run.output, {"voltage": run.output}
    run.gain = (1.0 - c.a) * run.slope
    run.leak = np.broadcast_to(c.a, run.output.shape)
    run.gate = run.keep = run.psi = np.ones_like(run.output)
    return run


def presynaptic(x, seen, before):
    """s(t) = [x(t), S(t-1), 1], [B, T, J]; `seen` [B, T, H] is S(t), `before` [B, H] S before the first step."""
    previous = np.concatenate([before[:, None], seen[:, :-1]], 1)
    return np.concatenate([x, previous, np.ones_like(x[..., :1])], -1)


def learning_signal(error, psi, m):
    """Eq. (11): d [B, T, R, H]."""
    batch, time, units = error.shape
    d = np.zeros((batch, time, len(m), units))
    for b, t, r, i, k in np.ndindex(batch, time, len(m), units, units):
        d[b, t, r, i] += error[b, t, k] * psi[b, t, k] * m[r, k, i]
    return d


def plain(error, s, psi, h, m, gamma, dt):
    """Eq. (10)-(12): dC/dW [J, H], and the traces e [B, R, H, J] after the last step."""
    batch, time, units = error.shape
    d = learning_signal(error, psi, m)
    e = np.zeros((batch, len(m), units, s.shape[-1]))
    gradient = np.zeros((s.shape[-1], units))
    for b, t, r, i, j in np.ndindex(batch, time, len(m), units, s.shape[-1]):
        e[b, r, i, j] = np.exp(-gamma[r, i] * dt) * e[b, r, i, j] + h[b, t, i] * s[b, t, j]
        gradient[j, i] += d[b, t, r, i] * e[b, r, i, j]
    return gradient, e


def network(error, s, run, m, gamma, dt):
    """Eq. (20)-(22): dC/dW [J, H]. Where refractory a_i = 1 and nothing is added; a hard reset forgets eps."""
    batch, time, units = error.shape
    d = learning_signal(error, run.psi, m)
    gradient = np.zeros((s.shape[-1], units))
    for b, i, j in np.ndindex(batch, units, s.shape[-1]):
        eps, through, e = 0.0, 0.0, np.zeros(len(m))  # `through` is psi_i(t-1) eps_ij(t-1)
        for t in range(time):
            reset = run.keep[b, t - 1, i] if t else 1.0
            eps = run.leak[b, t, i] * reset * eps + run.gain[b, t, i] * s[b, t, j]
            gradient[j, i] += error[b, t, i] * run.psi[b, t, i] * eps
            for r in range(len(m)):
                e[r] = np.exp(-gamma[r, i] * dt) * e[r] + through
                gradient[j, i] += d[b, t, r, i] * e[r]
            through = run.psi[b, t, i] * eps
    return gradient


def eprop(error, s, run):
    """The first term of Eq. (22)."""
    units = error.shape[-1]
    return network(error, s, run, np.zeros((1, units, units)), np.zeros((1, units)), 1.0)


def current_error(rule, shape):
    """dC/dI(t) [B, T, H] of a rule: dC/dW is linear in s, so a single s(t) = 1 picks dC/dI(t) out of the sum."""
    batch, time, units = shape
    of_current = np.zeros(shape)
    for b, t in np.ndindex(batch, time):
        impulse = np.zeros((batch, time, 1))
        impulse[b, t] = 1.0
        of_current[b, t] = rule(impulse)[0]
    return of_current


def reverse_plain(error, psi, h, m, gamma, dt):
    """Eq. (13): R(t) h(t) [B, T, H], summed over kernels."""
    batch, time, units = error.shape
    d, of_current = learning_signal(error, psi, m), np.zeros(error.shape)
    for b, r, i in np.ndindex(batch, len(m), units):
        reverse = 0.0
        for t in reversed(range(time)):
            reverse = d[b, t, r, i] + np.exp(-gamma[r, i] * dt) * reverse
            of_current[b, t, i] += reverse * h[b, t, i]
    return of_current


def reverse_network(error, run, m, gamma, dt):
    """Eq. (23): R(t) (1-a) R_m [B, T, H]."""
    batch, time, units = error.shape
    local, of_current = error * run.psi, np.zeros(error.shape)
    for b, i in np.ndindex(batch, units):
        own, c = 0.0, np.zeros(len(m))
        for t in reversed(range(time)):
            if t + 1 < time:
                for r in range(len(m)):
                    back = sum(local[b, t + 1, k] * m[r, k, i] for k in range(units))
                    c[r] = back + np.exp(-gamma[r, i] * dt) * c[r]
                own *= run.leak[b, t + 1, i] * run.keep[b, t, i]
            own = local[b, t, i] + run.psi[b, t, i] * c.sum() + own
            of_current[b, t, i] = own * run.gain[b, t, i]
    return of_current


def weight_gradient(of_current, s):
    """Eq. (14)."""
    gradient = np.zeros((s.shape[-1], of_current.shape[-1]))
    for b, t, j, i in np.ndindex(*s.shape, of_current.shape[-1]):
        gradient[j, i] += of_current[b, t, i] * s[b, t, j]
    return gradient


def input_gradient(of_current, w_in):
    """Eq. (15)."""
    gradient = np.zeros((*of_current.shape[:2], len(w_in)))
    for b, t, i, j in np.ndindex(*of_current.shape, len(w_in)):
        gradient[b, t, j] += of_current[b, t, i] * w_in[j, i]
    return gradient


def filtered_noise(xi, gate, gamma, dt):
    """Eq. (16), (17) with q = `gate` [B, T, H]: Omega and Gamma [B, T, R, H], from zero."""
    batch, time, units = xi.shape
    omega, slope = np.zeros((2, batch, time, len(gamma), units))
    for b, t, r, i in np.ndindex(batch, time, len(gamma), units):
        before, slope_before = (omega[b, t - 1, r, i], slope[b, t - 1, r, i]) if t else (0.0, 0.0)
        k = np.exp(-gamma[r, i] * dt)
        omega[b, t, r, i] = k * before + gate[b, t, i] * xi[b, t, i]
        slope[b, t, r, i] = k * (slope_before - dt * before)
    return omega, slope


def spiking_tangent(xi, enters, run, w_rec, c):
    """Eq. (18) for infinitely small noise: the change of each observable [B, T, H], by the chain rule."""
    batch, time, units = xi.shape
    voltage, distance, reset_voltage = np.zeros((3, batch, time, units))
    for b in range(batch):
        dv, db, ds = np.zeros((3, units))
        for t in range(time):
            if enters == "state":
                ds = ds + xi[b, t]
            seen = ds + (xi[b, t] if enters == "synapse" else 0.0)
            v1, b1, s1 = np.zeros((3, units))
            for i in range(units):
                change = sum(seen[j] * w_rec[j, i] for j in range(units))
                change += xi[b, t, i] if enters == "current" else 0.0
                dpotential = c.a[i] * dv[i] + c.drive[i] * change if run.on[b, t, i] else dv[i]
                dthreshold = c.beta[i] * db[i]
                z, dz = run.z[b, t, i], run.psi[b, t, i] * (dpotential - dthreshold)
                if c.reset == "soft":
                    v1[i] = dpotential - dthreshold * z - run.threshold[b, t, i] * dz
                else:
                    v1[i] = dpotential * (1.0 - z) - run.potential[b, t, i] * dz + c.reset_potential * dz
                b1[i] = c.p[i] * db[i] + (1.0 - c.p[i]) * dz
                s1[i] = c.s[i] * ds[i] + dz
                voltage[b, t, i], distance[b, t, i] = dpotential, dpotential - dthreshold
                reset_voltage[b, t, i] = v1[i]
            dv, db, ds = v1, b1, s1
    return {"voltage": voltage, "distance": distance, "reset_voltage": reset_voltage}


def rate_tangent(xi, enters, run, w_rec, c):
    """The change of h [B, T, H] by infinitely small noise."""
    batch, time, units = xi.shape
    effect = np.zeros((batch, time, units))
    for b in range(batch):
        dh = np.zeros(units)
        for t in range(time):
            dh = dh + (xi[b, t] if enters == "state" else 0.0)
            seen = dh + (xi[b, t] if enters == "synapse" else 0.0)
            new = np.zeros(units)
            for i in range(units):
                change = sum(seen[j] * w_rec[j, i] for j in range(units))
                change += xi[b, t, i] if enters == "current" else 0.0
                new[i] = c.a[i] * dh[i] + (1.0 - c.a[i]) * run.slope[b, t, i] * change
            effect[b, t] = dh = new
    return {"voltage": effect}


def sensitivity(effect, omega, slope, m):
    """Eq. (19), F, with its gradients by M [R, H, H] and gamma [R, H] term by term."""
    batch, time, units = effect.shape
    loss, of_m, of_gamma = 0.0, np.zeros(m.shape), np.zeros(m.shape[:2])
    count = batch * time * units
    for b, t, k in np.ndindex(batch, time, units):
        residual = effect[b, t, k]
        for r, i in np.ndindex(len(m), units):
            residual -= omega[b, t, r, i] * m[r, k, i]
        loss += residual**2 / count
        for r, i in np.ndindex(len(m), units):
            of_m[r, k, i] -= 2.0 * residual * omega[b, t, r, i] / count
            of_gamma[r, i] -= 2.0 * residual * m[r, k, i] * slope[b, t, r, i] / count
    return loss, of_m, of_gamma


def difference(function, at, step=1e-6):
    """Central differences of a scalar function by each entry of `at`."""
    gradient = np.zeros(at.shape)
    for index in np.ndindex(*at.shape):
        shift = np.zeros(at.shape)
        shift[index] = step
        gradient[index] = (function(at + shift) - function(at - shift)) / (2.0 * step)
    return gradient


def smooth_gradient(error, x, w_in, w_rec, bias, c, stop_reset=False, start=None):
    """Backpropagation through time with the surrogate, by differences of the smooth run: [J, H] and [B, T, I].

    The diagonal of the recurrent part is there whether or not the cell uses it.
    """
    units, size = c.units, x.shape[-1]
    run = spiking(x, w_in, w_rec, bias, c, start)

    def loss(weights, x):
        w_in, w_rec, bias = weights[:size], weights[size : size + units], weights[-1]
        return np.sum(error * spiking(x, w_in, w_rec, bias, c, start, smooth=run, stop_reset=stop_reset).z)

    weights = np.concatenate([w_in, w_rec, bias[None]])
    return difference(lambda w: loss(w, x), weights), difference(lambda x: loss(weights, x), x)
