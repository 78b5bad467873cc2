"""The reference network in BrainTrace, trained by its online rules: pp_prop, EProp and D_RTRL."""

# ruff: noqa: E402 - the CPUs are chosen between the imports
import math

import racing
import task
from protocol import few_cpus, versions

few_cpus()  # XLA starts a thread for each as BrainTrace is imported, and has no setting for their number

import brainpy.state
import brainstate
import braintools
import braintrace
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

PACKAGES = "braintrace", "brainstate", "jax", "jaxlib"
KAPPA = math.exp(-1.0 / task.TAU_OUT)  # e-prop filters its traces as the readout does


class Driven(brainstate.nn.Module):
    """A linear layer whose currents move slow membranes less."""

    def __init__(self, linear, drive):
        super().__init__()
        self.linear, self.drive = linear, drive

    def update(self, x):
        """Spikes [B, I + H] -> currents [B, H]."""
        return self.drive * self.linear(x)


class Network(brainstate.nn.Module):
    """A layer of `LIF` neurons with delta synapses, and a leaky readout: LIF_Delta_Net of BrainTrace's examples.

    Inputs and spikes are multiplied by one matrix, as there. A matrix that a rule is to train online must be applied in
    each step. Surrogate gradient: ReluGrad, the default, which is the triangle.
    """

    def __init__(self, settings):
        super().__init__()
        inputs, units, outputs = settings["inputs"], settings["units"], settings["outputs"]
        inward, back, outward = task.weights(settings)
        self.hidden = brainpy.state.LIF(
            units, tau=task.tau_m(settings) * u.ms, V_th=task.THRESHOLD * u.mV, spk_reset="hard"
        )
        linear = braintrace.nn.Linear(inputs + units, units, w_init=jnp.concatenate([inward, back]) * u.mV, b_init=None)
        if "slowest" in settings:
            linear = Driven(linear, jnp.asarray(task.drive(settings)))
        self.synapses = brainpy.state.DeltaProj(comm=linear, post=self.hidden)
        self.readout = braintrace.nn.LeakyRateReadout(
            units, outputs, tau=task.TAU_OUT * u.ms, w_init=jnp.asarray(outward / task.TAU_OUT)
        )

    def update(self, x):
        """Input spikes [B, I] of a step -> readouts [B, O]."""
        self.synapses(u.math.concatenate([x, self.hidden.get_spike()], axis=-1))
        return self.readout(self.hidden())


def learner_of(network, rule, x):
    """The network as `rule` trains it, from a state of zeros; `x` [B, I] are inputs like those it will get.

    The batch is an axis of the compiled graph, as in the example 06-batching-batched.
    """
    options = {"pp_prop": {"decay_or_rank": 0.99}, "EProp": {"kappa_filter_decay": KAPPA}, "D_RTRL": {}}[rule]
    return braintrace.compile(network, getattr(braintrace, rule), x, batch_size=x.shape[0], **options)


def gradients(learner, rule, x, labels, window):
    """Gradients and loss of a batch: x [T, B, I], labels [B].

    An online rule needs a loss of each step, so it is the mean of the window's cross-entropies, not the cross-entropy
    of its mean. Before the window there is no loss. The steps there go by `etrace_evolve`, which computes no gradient,
    as in its documentation: the gradients of the window are the same, sooner. In chunks, which pp_prop does not bear,
    D_RTRL takes as long. EProp filters its traces only where it computes gradients, so it computes them throughout.
    """

    def loss(x):
        return braintools.metric.softmax_cross_entropy_with_integer_labels(learner(x), labels).mean()

    driven = {"step_fn": loss, "loss_output": "scalar", "return_value": True}
    before = x.shape[0] - window
    if rule == "EProp":
        return learner.etrace_grad(x, mask=jnp.arange(x.shape[0]) >= before, **driven)
    if before:
        learner.etrace_evolve(x[:before])
    return learner.etrace_grad(x[before:], **driven)


def build(settings):
    """The `build` of this worker."""
    brainstate.environ.set(dt=1.0 * u.ms)
    brainstate.random.seed(task.SEED)
    pixels, labels = map(jnp.asarray, task.batch(settings))
    probability = jnp.broadcast_to(pixels.T[:, :, None], (*pixels.T.shape, settings["inputs"] - 1))
    context = jnp.asarray(task.context(settings))
    network = Network(settings)
    optimizer = braintools.optim.RMSprop(lr=task.LEARNING_RATE)
    optimizer.register_trainable_weights(network.states(brainstate.ParamState))

    @brainstate.transform.jit
    def train():
        x = jnp.concatenate([brainstate.random.bernoulli(probability).astype(jnp.float32), context], axis=2)
        learner = learner_of(network, settings["rule"], x[0])
        grads, loss = gradients(learner, settings["rule"], x, labels, task.window(settings))
        optimizer.update(grads)
        return loss

    def step():
        loss = jax.block_until_ready(train())
        jax.block_until_ready([state.value for state in network.states(brainstate.ParamState).values()])
        return float(loss)

    return step, versions(*PACKAGES)


def build_racer(settings):
    """What trains and predicts in a race: the `build_racer` of `racing.run`."""
    brainstate.environ.set(dt=1.0 * u.ms)
    brainstate.random.seed(settings["seed"])
    network = Network(settings)
    optimizer = braintools.optim.Adam(lr=settings["learning_rate"], grad_clip_norm=settings["clip_norm"])
    optimizer.register_trainable_weights(network.states(brainstate.ParamState))
    window = task.window(settings)

    @brainstate.transform.jit
    def step(x, labels):
        learner = learner_of(network, settings["rule"], x[0])
        grads, _ = gradients(learner, settings["rule"], x, labels, window)
        optimizer.update(grads)

    @brainstate.transform.jit
    def logits(x):
        brainstate.nn.init_all_states(network, batch_size=x.shape[1])
        return brainstate.transform.for_loop(network.update, x)[-window:].mean(0)

    def train(pixels, labels, rate):
        optimizer.current_lr = rate
        step(task.encode(pixels, settings), labels)
        jax.block_until_ready([state.value for state in network.states(brainstate.ParamState).values()])

    def predict(pixels):
        return np.asarray(logits(task.encode(pixels, settings))).argmax(1)

    return train, predict, versions(*PACKAGES)


if __name__ == "__main__":
    racing.run(build, build_racer)
