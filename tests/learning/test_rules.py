"""Every rule in every implementation against the loops of the reference, and the reductions that tie the rules."""

import numpy as np
import pytest
import tensorflow as tf

from kernl_keras import naive as ref
from kernl_keras.cells.hidden import LocalFactors
from kernl_keras.learning.filters import kernel_decay
from kernl_keras.learning.implementations import IMPLEMENTATIONS, advance_traces, trace_shapes
from kernl_keras.learning.rules import FORMS, RULES, make_rule

from ..reference import oracles
from ..reference.cases import CELLS, RESONATOR, SPIKING, B, H, I, J, Network, T, draw

LOCAL = ("eprop", "eprop_alif", "rflo")
NAMES = (*FORMS, *LOCAL)
VARIANTS = [("factored", None), ("online", None), *(("chunked", size) for size in (1, 3, T - 1, T, T + 1))]
DT = 0.7


class Case:
    """A run of the reference with errors, M and gamma; `package` says what a rule makes of it."""

    def __init__(self, cell="hard adaptive", kernels=2, dtype="float64", time=T, **network):
        self.network, self.dtype, self.kernels = Network(cell, time=time, **network), dtype, kernels
        self.run = self.network.run()
        self.s = self.network.presynaptic(self.run)
        self.error = draw(20, B, time, H)
        self.h = 0.5 + draw(21, B, time, H) ** 2
        self.m = 0.7 * draw(22, kernels, H, H)
        self.gamma = 0.2 * draw(23, kernels, H) ** 2
        self.traces = ()

    def tensor(self, x, time_major=True):
        return tf.constant(np.swapaxes(x, 0, 1) if time_major else x, self.dtype)

    def signals(self, name):
        run, pack = self.run, self.tensor
        constants = (np.broadcast_to(x, run.output.shape) for x in (run.beta, run.p))
        leak, turn = np.real(run.leak), np.imag(run.leak)
        factors = LocalFactors(*map(pack, (run.psi, run.gain, leak, run.keep, *constants, run.threshold_keep, turn)))
        m = self.tensor(self.m, time_major=False)
        return self.made(name).signals(pack(self.error), factors, m, pack(self.h))

    @property
    def decay(self):
        return kernel_decay(self.tensor(self.gamma, time_major=False), DT)

    def zeros(self, name):
        return tuple(tf.zeros((B, *shape), self.dtype) for shape in trace_shapes(self.made(name), self.kernels, H, J))

    def package(self, name, implementation, chunk_size, traces=None):
        traces = self.zeros(name) if traces is None else traces
        return IMPLEMENTATIONS[implementation](
            self.made(name), self.signals(name), self.decay, self.tensor(self.s), traces, chunk_size
        )

    def made(self, name):
        """The package's rule: one of the forms of KeRNL, or a local rule."""
        own = "swing" if np.iscomplexobj(self.run.leak) else "leak"
        return make_rule("kernl", name, own) if name in FORMS else make_rule(name, own=own)

    def rule(self, name):
        """The reference: s -> dC/dW."""
        return {
            "plain": lambda s: ref.plain(self.error, s, self.run.psi, self.h, self.m, self.gamma, DT)[0],
            "network": lambda s: ref.network(self.error, s, self.run, self.m, self.gamma, DT),
            **{each: lambda s: getattr(ref, name)(self.error, s, self.run) for each in LOCAL},
        }[name]


def test_the_tables_of_rules_are_covered():
    assert set(RULES) == {"kernl", *LOCAL, "readout", "bptt", "bptt_adjoint"} and set(FORMS) == {"network", "plain"}
    assert set(IMPLEMENTATIONS) == {name for name, _ in VARIANTS}
    assert all(isinstance(make_rule("kernl", form), FORMS[form]) for form in FORMS)
    assert isinstance(make_rule("eprop", "plain"), RULES["eprop"]) and make_rule("bptt", "network") is None


@pytest.mark.parametrize("kernels", [1, 2])
@pytest.mark.parametrize("name", ["plain", "network", "eprop"])
def test_the_reverse_filters_of_the_page_are_its_forward_traces(name, kernels):
    """Within the reference: (13)-(14) = (10)-(12), (23)+(14) = (20)-(22), and dC/dI is what picks s(t) out."""
    for cell in CELLS:
        case = Case(cell, kernels)
        of_current = {
            "plain": lambda c: ref.reverse_plain(c.error, c.run.psi, c.h, c.m, c.gamma, DT),
            "network": lambda c: ref.reverse_network(c.error, c.run, c.m, c.gamma, DT),
            "eprop": lambda c: ref.reverse_network(c.error, c.run, 0.0 * c.m, c.gamma, DT),
        }[name](case)
        rule = case.rule(name)
        np.testing.assert_allclose(ref.weight_gradient(of_current, case.s), rule(case.s), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(oracles.current_error(rule, case.error.shape), of_current, rtol=1e-9, atol=1e-12)
        assert np.abs(of_current).max() > 1e-3


@pytest.mark.parametrize(
    ("kernels", "implementation", "chunk_size"),
    [*((2, *variant) for variant in VARIANTS), (1, "factored", None), (1, "online", None), (1, "chunked", 3)],
)
@pytest.mark.parametrize("cell", ["hard adaptive", "resonator"])
@pytest.mark.parametrize("name", NAMES)
def test_every_implementation_is_the_reference(name, kernels, implementation, chunk_size, cell):
    case = Case(cell, kernels)
    of_current, gradient = case.package(name, implementation, chunk_size)
    rule = case.rule(name)
    expected = rule(case.s)
    assert np.abs(expected).min(initial=9, where=expected != 0) < np.abs(expected).max() > 0.1
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    of_current = np.swapaxes(of_current, 0, 1)
    np.testing.assert_allclose(of_current, oracles.current_error(rule, case.error.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["hard", "soft euler", "relu", "resonator fixed"])
@pytest.mark.parametrize("name", NAMES)
def test_in_single_precision(name, cell):
    case = Case(cell, dtype="float32")
    expected = case.rule(name)(case.s)
    for implementation, chunk_size in VARIANTS[:2] + [("chunked", 3)]:
        _, gradient = case.package(name, implementation, chunk_size)
        assert gradient.dtype == tf.float32
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_one_step(name):
    case = Case(time=1)
    expected = case.rule(name)(case.s)
    for implementation, chunk_size in [("factored", None), ("online", None), ("chunked", 1), ("chunked", 2)]:
        np.testing.assert_allclose(case.package(name, implementation, chunk_size)[1], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["soft euler", "resonator"])
@pytest.mark.parametrize("name", NAMES)
def test_traces_carried_in_join_the_pieces_of_a_sequence(name, cell):
    """The errors of the second piece, weighed by traces that the first left: the whole, with no error in the first."""
    case, cut = Case(cell), 3
    case.error[:, :cut] = 0.0
    expected = case.rule(name)(case.s)
    early = tuple(type(x)(*(f[:cut] for f in x)) for x in [case.signals(name)])[0]
    late = type(early)(*(f[cut:] for f in case.signals(name)))
    s = case.tensor(case.s)
    traces = advance_traces(case.made(name), early, case.decay, s[:cut], case.zeros(name))
    assert all(np.abs(trace).max() > 0.01 for trace in traces)
    for implementation, chunk_size in VARIANTS[:2] + [("chunked", 3)]:
        _, gradient = IMPLEMENTATIONS[implementation](case.made(name), late, case.decay, s[cut:], traces, chunk_size)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["hard adaptive", "resonator"])
@pytest.mark.parametrize("name", NAMES)
def test_traces_advance_as_they_do_step_by_step(name, cell):
    case = Case(cell)
    traces = stepped = tuple(tf.constant(draw(30 + n, *trace.shape)) for n, trace in enumerate(case.zeros(name)))
    signals, s = case.signals(name), case.tensor(case.s)
    for t in range(T):
        stepped, _ = case.made(name).trace_step(stepped, type(signals)(*(f[t] for f in signals)), s[t], case.decay)
    advanced = advance_traces(case.made(name), signals, case.decay, s, traces)
    for one, other in zip(advanced, stepped):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_the_plain_trace_is_the_references():
    case = Case()
    _, expected = ref.plain(case.error, case.s, case.run.psi, case.h, case.m, case.gamma, DT)
    (trace,) = advance_traces(
        case.made("plain"), case.signals("plain"), case.decay, case.tensor(case.s), case.zeros("plain")
    )
    np.testing.assert_allclose(trace, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("implementation", ["factored", "online"])
@pytest.mark.parametrize("name", NAMES)
def test_contract_of_a_rule(name, implementation):
    """Linear in the error, a sum over examples, blind to their order; a silent input leaves its weights alone."""
    case = Case()
    case.s[..., 1] = 0.0

    def gradient(error, examples=(0, 1)):
        case.error = error
        signals = type(case.signals(name))(*(tf.gather(f, examples, axis=1) for f in case.signals(name)))
        s = tf.gather(case.tensor(case.s), examples, axis=1)
        traces = tuple(trace[: len(examples)] for trace in case.zeros(name))
        return IMPLEMENTATIONS[implementation](case.made(name), signals, case.decay, s, traces)[1].numpy()

    error = case.error
    whole = gradient(error)
    assert whole.shape == (J, H) and np.isfinite(whole).all()
    np.testing.assert_allclose(gradient(2.0 * error), 2.0 * whole, rtol=1e-9)
    np.testing.assert_allclose(gradient(error, (1, 0)), whole, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient(error, (0,)) + gradient(error, (1,)), whole, rtol=1e-9, atol=1e-12)
    assert not whole[1].any() and whole[0].any() and whole[2].any()


# Section 7: what the rules become in special cases


@pytest.mark.parametrize("cell", CELLS)
def test_network_without_m_is_eprop(cell):
    case = Case(cell)
    case.m *= 0.0
    _, network = case.package("network", "factored", None)
    case.m += 1.0  # e-prop does not look at it
    _, eprop = case.package("eprop", "factored", None)
    assert np.abs(eprop).max() > 0.01
    np.testing.assert_allclose(network, eprop, rtol=1e-9, atol=1e-12)


def local_kernel(case, scale):
    """M = scale I and gamma at the leak, for one kernel."""
    case.m = np.diag(np.broadcast_to(scale, H))[None]
    case.gamma = -np.log(np.broadcast_to(case.network.c.a, (1, H))) / DT
    return case


def test_plain_with_the_local_kernel_is_eprop():
    """No reset's effect (soft) and no refractory time: M = (1-a) R_m I, gamma = 1/tau_m, h = 1."""
    case = Case("soft free", kernels=1)
    local_kernel(case, case.network.c.drive)
    case.h = np.ones_like(case.h)
    _, plain = case.package("plain", "factored", None)
    _, eprop = case.package("eprop", "online", None)
    assert case.run.z.mean() > 0.1 and np.abs(eprop).max() > 0.01
    np.testing.assert_allclose(plain, eprop, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["tanh", "identity euler"])
def test_plain_rate_with_the_local_kernel_is_rflo(cell):
    """Murray (2019) without random feedback: p_ij(t) = a p_ij(t-1) + (1-a) f'(g_i) s_j, dC/dW_ij = sum L_i p_ij."""
    case = local_kernel(Case(cell, kernels=1), 1.0)
    case.h = case.run.gain
    _, plain = case.package("plain", "factored", None)
    _, eprop = case.package("eprop", "factored", None)
    expected, a = np.zeros((J, H)), case.network.c.a
    for b in range(B):
        trace = np.zeros((J, H))
        for t in range(T):
            trace = a * trace + np.outer(case.s[b, t], (1.0 - a) * case.run.slope[b, t])
            expected += trace * case.error[b, t]
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(plain, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(eprop, expected, rtol=1e-9, atol=1e-12)


def local_gradient(network, error, reset_gradient=False):
    """Automatic differentiation of Eq. (1)-(9), the gradients through S and through the resetting spike stopped."""
    c, stop = network.c, tf.stop_gradient
    resets = tf.identity if reset_gradient else stop
    weights = [tf.constant(w) for w in (network.w_in, network.w_used, network.bias)]
    width = 1.0 if c.surrogate == "triangle" else 0.5

    @tf.custom_gradient
    def spike(v, threshold, on):
        u = (v - threshold) / threshold
        shape = tf.nn.relu(1.0 - tf.abs(u)) if width == 1.0 else tf.exp(-width * tf.abs(u))
        psi = on * c.surrogate_damping * shape / threshold
        return tf.cast(v >= threshold, v.dtype), lambda dz: (psi * dz, -psi * dz, None)

    with tf.GradientTape() as tape:
        tape.watch(weights)
        v, b, r, s = tf.zeros((4, B, H), tf.float64)
        cost = 0.0
        for t in range(network.time):
            current = network.x[:, t] @ weights[0] + stop(s) @ weights[1] + weights[2]  # Eq. (1)
            on = tf.cast(r < c.dt, v.dtype)  # Eq. (2)
            potential = on * (c.a * v + c.drive * current) + (1.0 - on) * v  # Eq. (3)
            threshold = c.base_threshold + c.beta * b
            z = spike(potential, threshold, on)  # Eq. (4), (5)
            b = c.p * b + (1.0 - c.p) * z  # Eq. (6)
            r = tf.nn.relu(r - c.dt) + c.tau_ref * stop(z)  # Eq. (7)
            taken = threshold if c.reset == "soft" else potential - c.reset_potential
            v, s = potential - taken * resets(z), c.s * s + z  # Eq. (8), (9)
            cost += tf.reduce_sum(z * error[:, t])
    of_in, of_rec, of_bias = tape.gradient(cost, weights)
    return np.concatenate([of_in, of_rec, of_bias[None]])


@pytest.mark.parametrize("cell", SPIKING)
def test_eprop_alif_that_follows_resets_is_automatic_differentiation_without_the_recurrent_paths(cell):
    case = Case(cell)
    case.run = ref.follow_reset(case.run, case.network.c)
    expected, without = (local_gradient(case.network, case.error, follows) for follows in (True, False))
    for implementation in ("factored", "online"):
        _, gradient = case.package("eprop_alif", implementation, None)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    assert np.abs(expected - without).max() > 1e-3


@pytest.mark.parametrize("cell", SPIKING)
def test_eprop_alif_is_automatic_differentiation_without_the_recurrent_paths(cell):
    case = Case(cell)
    expected = local_gradient(case.network, case.error)
    _, gradient = case.package("eprop_alif", "online", None)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ref.eprop_alif(case.error, case.s, case.run), expected, rtol=1e-9, atol=1e-12)
    _, simple = case.package("eprop", "online", None)
    adapts = np.abs(case.network.c.beta).max() > 0
    assert (np.abs(simple - expected).max() > 1e-3) == adapts  # without adaptation the simple trace is the whole


@pytest.mark.parametrize("cell", RESONATOR)
def test_the_local_rules_of_resonators_are_backpropagation_without_recurrent_weights(cell):
    """Nothing resets: eps is exact, and with the threshold's part so is e-prop; RFLO takes psi at another time."""
    case = Case(cell)
    case.network.w_rec *= 0.0
    case.run = case.network.run()
    n = case.network
    expected, _ = oracles.smooth_gradient(case.error, n.x, n.w_in, n.w_used, n.bias, n.c, forward=n.forward)
    expected[I : I + H] = 0.0  # weights that carry nothing on, but would if they were there
    case.s[..., I : I + H] = 0.0
    gradients = {name: case.package(name, "online", None)[1] for name in LOCAL}
    assert case.run.z.mean() > 0.1 and np.abs(expected).max() > 0.1
    np.testing.assert_allclose(gradients["eprop_alif"], expected, rtol=1e-6, atol=1e-7)
    adapts = np.abs(case.network.c.beta).max() > 0
    assert (np.abs(gradients["eprop"] - expected).max() > 1e-3) == adapts
    assert np.abs(gradients["rflo"] - expected).max() > 1e-3


@pytest.mark.parametrize("cell", ["tanh", "relu", "identity euler"])
def test_the_local_rules_are_one_for_rate_cells(cell):
    case = Case(cell)
    expected = case.package("eprop", "online", None)[1]
    assert np.abs(expected).max() > 0.01
    for name in ("rflo", "eprop_alif"):
        np.testing.assert_allclose(case.package(name, "factored", None)[1], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_readout_learns_nothing_below_itself(implementation):
    case, module = Case(), make_rule("readout")
    signals = module.signals(case.tensor(case.error), None, None, None)
    chunk_size = 3 if implementation == "chunked" else None
    of_current, gradient = IMPLEMENTATIONS[implementation](
        module, signals, case.decay, case.tensor(case.s), (), chunk_size
    )
    np.testing.assert_array_equal(of_current, np.zeros((T, B, H)))
    np.testing.assert_array_equal(gradient, np.zeros((J, H)))


def exact_case(w_rec):
    """A spiking network without effects of the reset on the derivative, and backpropagation through time on it."""
    case = Case("soft free", kernels=1)
    case.network.w_rec = w_rec / case.network.c.drive
    case.run = case.network.run()
    case.s = case.network.presynaptic(case.run)
    case.gamma = -np.log(np.broadcast_to(case.network.c.a, (1, H))) / DT
    n = case.network
    backpropagated, _ = oracles.smooth_gradient(case.error, n.x, n.w_in, n.w_used, n.bias, n.c, stop_reset=True)
    assert (case.run.z.mean((0, 1)) > 0.05).all() and np.abs(backpropagated).max() > 0.1
    return case, backpropagated


@pytest.mark.parametrize("name", ["network", "plain", "eprop", "eprop_alif"])
def test_without_recurrent_weights_the_rules_are_backpropagation(name):
    """One exponential, and no path through other units but for the weights' own sake: hops that W_rec = 0 cuts."""
    case, backpropagated = exact_case(np.zeros((H, H)))
    case.m, case.h = np.diag(case.network.c.drive)[None], np.ones_like(case.h)
    if name == "network":
        case.m *= 0.0
    _, gradient = case.package(name, "factored", None)
    np.testing.assert_allclose(gradient, backpropagated, rtol=1e-6, atol=1e-7)


def test_network_in_a_chain_of_one_hop_is_backpropagation():
    """M = (1-a) R_m W_rec^T, gamma = 1/tau_m: exact where units feed units that feed nobody."""
    chain = np.zeros((H, H))
    chain[0, 2], chain[1, 2], chain[1, 3] = 0.9, -0.7, 0.8
    case, backpropagated = exact_case(chain)
    case.m = (case.network.c.drive[:, None] * case.network.w_rec.T)[None]
    _, gradient = case.package("network", "factored", None)
    np.testing.assert_allclose(gradient, backpropagated, rtol=1e-6, atol=1e-7)
    _, eprop = case.package("eprop", "factored", None)
    assert np.abs(eprop - backpropagated).max() > 0.01  # the hop is seen
