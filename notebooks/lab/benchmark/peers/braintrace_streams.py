"""The network of `notebooks.lab.streams` in BrainTrace, which learns from the same stream by its online rules.

It is a worker as in `protocol`, but is asked nothing. Its settings are

    data        an .npz: what `notebooks.lab.streams_braintrace.arrays_of` makes
    answers     a folder, where it leaves answers [T, B, n] to streams as .npy, for others to count what is missed
    rule        "D_RTRL", "pp_prop" or "EProp", and "options" of it
    errors      "step": those of a step change weights by what that step's states owe to them, which is all that
                BrainTrace calls online; "window": errors also go back through the steps of a piece, and the traces are
                those before it ("multi-step")
    rates       learning rates, one run each, all from the same beginning
    points      how many times it is tested along the way
    check       instead: the answers and the gradients of the first piece

A piece is one update of Adam. States and traces go on from piece to piece.
"""

# ruff: noqa: E402 - the CPUs are chosen between the imports
import pathlib
import time

import protocol

protocol.few_cpus()  # XLA starts a thread for each as BrainTrace is imported, and has no setting for their number

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np
from braintrace._op import dense

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # of Keras' Adam
CLIP_NORM = 1.0


class Numpy:
    """`jax.numpy` for BrainTrace's matrix products, with one of its sums done another way.

    XLA takes eight times as long on a CPU for a product of many 3 x 3 matrices as for the same sum, written out.
    """

    def __getattr__(self, name):
        return getattr(jnp, name)

    @staticmethod
    def einsum(what, *arrays, **settings):
        """`jax.numpy.einsum`."""
        if what != "...kab,...ikb->...ika":
            return jnp.einsum(what, *arrays, **settings)
        matrices, traces = arrays[0][..., None, :, :, :], arrays[1]
        states = range(traces.shape[-1])
        return jnp.stack([sum(matrices[..., a, b] * traces[..., b] for b in states) for a in states], -1)


dense.jnp = Numpy()


def spikes_of(constants):
    """The spike by potential and threshold, with our surrogate gradient, exp(-|u| / 2)."""

    @jax.custom_jvp
    def spike(potential, threshold):
        return (potential >= threshold).astype(potential.dtype)

    @spike.defjvp
    def derivative(at, change):
        potential, threshold = at
        slope = jnp.exp(-0.5 * jnp.abs((potential - threshold) / threshold)) * constants["damping"] / threshold
        return spike(potential, threshold), slope * (change[0] - change[1])

    return spike


class Network(brainstate.nn.Module):
    """Resonators with adaptive thresholds, and a leaky readout.

    The states of a unit are Re U(t), Im U(t) and b(t-1), of which its spike z(t) is a function: so there are three, and
    the error of a step's spike is one of that step's states.
    """

    def __init__(self, data):
        super().__init__()
        inward, back, outward = data["kernel"], data["recurrent"], data["readout"]
        self.constants = {name: jnp.asarray(data[name]) for name in data if data[name].ndim < 2}
        self.spike, self.sizes = spikes_of(self.constants), (back.shape[0], outward.shape[1])
        self.incoming = self._linear(np.concatenate([inward, back]), data["bias"])
        self.outgoing = self._linear(outward, data["readout_bias"])

    @staticmethod
    def _linear(weights, bias):
        return braintrace.nn.Linear(*weights.shape, w_init=jnp.asarray(weights), b_init=jnp.asarray(bias))

    def init_state(self, batch_size=None, **_):
        """Zeros."""
        units, outputs = self.sizes
        for name, size in (("real", units), ("imaginary", units), ("adaptation", units), ("voltage", outputs)):
            setattr(self, name, brainstate.HiddenState(jnp.zeros((batch_size, size))))

    def update(self, x):
        """Inputs of a step [B, I] -> voltages of the readout [B, n]."""
        p, real, imaginary = self.constants, self.real.value, self.imaginary.value
        spikes = self.spikes()
        adaptation = p["adaptation_decay"] * self.adaptation.value + (1.0 - p["adaptation_decay"]) * spikes
        current = self.incoming(jnp.concatenate([x, spikes], -1))
        self.real.value = p["leak"] * real - p["turn"] * imaginary + p["drive"] * current
        self.imaginary.value = p["turn"] * real + p["leak"] * imaginary
        self.adaptation.value = adaptation
        driven = self.outgoing(p["readout_gain"] * self.spikes())
        self.voltage.value = p["readout_decay"] * self.voltage.value + (1.0 - p["readout_decay"]) * driven
        return self.voltage.value

    def spikes(self):
        """Those of the step of the states [B, H]."""
        p = self.constants
        threshold = p["base_threshold"] + p["adaptation_strength"] * self.adaptation.value
        return self.spike(self.real.value, threshold)


class Learner:
    """A network that learns by one of the rules, piece by piece: x [P, C, B, I], y and weight [P, C, B]."""

    def __init__(self, settings, data):
        self.network, self.across = Network(data), settings["errors"] == "window"
        shape = data["train_x"].shape[1:]
        self.window, self.rows = shape[:2]
        self.learner = braintrace.compile(
            self.network,
            getattr(braintrace, settings["rule"]),
            jnp.zeros(shape[1:]),
            batch_size=self.rows,
            vjp_method="multi-step" if self.across else "single-step",
            **settings["options"],
        )
        self.weights = self.network.states(brainstate.ParamState)
        units, inputs = self.network.sizes[0], shape[-1]
        self.connected = np.concatenate([np.ones((inputs, units)), 1.0 - np.eye(units)]).astype("float32")
        zeros = {key: jax.tree.map(jnp.zeros_like, state.value) for key, state in self.weights.items()}
        self.moments = [brainstate.ShortTermState(zeros), brainstate.ShortTermState(zeros)]
        self.update = brainstate.ShortTermState(jnp.zeros((), jnp.int32))
        kept = [*self.learner.states().values(), *self.moments, self.update]
        self.beginning = [(state, state.value) for state in kept]
        self.train = brainstate.transform.jit(self._train)
        self.answers = brainstate.transform.jit(self._answers)

    def begin(self):
        """Everything is as it was at first."""
        for state, value in self.beginning:
            state.value = value

    def numbers(self):
        """How many numbers the traces have for each example."""
        traces = [state.value for state in self.learner.states(braintrace.EligibilityTrace).values()]
        return sum(x.size for x in jax.tree.leaves(traces)) // self.rows

    def gradients(self, x, y, weight):
        """Those of a piece, and its loss, which is Keras' mean over rows and steps.

        Units have no connections to themselves: those are 0, and so are their gradients. With a mask of the weights,
        which `braintrace.nn.Linear` has, BrainTrace does not take its fast path.
        """

        def loss(x, y, weight):
            answers = self.learner(braintrace.MultiStepData(x) if self.across else x)
            log_shares = jnp.take_along_axis(jax.nn.log_softmax(answers), y[..., None], -1)[..., 0]
            return -(weight * log_shares).sum(-1) / (self.rows * self.window)

        chunk = self.window if self.across else None
        more = {"step_fn": loss, "chunk_size": chunk, "reduction": "sum", "return_value": True}
        gradients, losses = self.learner.etrace_grad(x, y, weight, **more)
        incoming = gradients["incoming", "weight"]
        incoming["weight"] *= self.connected
        return gradients, losses

    def _train(self, pieces, rate, updates):
        """Learns from some of all pieces, with Keras' Adam; the rate falls to zero with the last of all `updates`."""

        def learn(x, y, weight):
            gradients, losses = self.gradients(x, y, weight)
            length = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(gradients)))
            gradients = jax.tree.map(lambda x: x * CLIP_NORM / jnp.maximum(length, CLIP_NORM), gradients)
            now, count = 0.5 * rate * (1.0 + jnp.cos(jnp.pi * self.update.value / updates)), self.update.value + 1
            now *= jnp.sqrt(1.0 - BETA_2**count) / (1.0 - BETA_1**count)
            powers = gradients, jax.tree.map(jnp.square, gradients)
            for moment, beta, power in zip(self.moments, (BETA_1, BETA_2), powers):
                moment.value = jax.tree.map(lambda m, g, b=beta: m + (1.0 - b) * (g - m), moment.value, power)
            first, second = (moment.value for moment in self.moments)
            for key, state in self.weights.items():
                step = jax.tree.map(lambda m, v: now * m / (jnp.sqrt(v) + EPSILON), first[key], second[key])
                state.value = jax.tree.map(jnp.subtract, state.value, step)
            self.update.value = count
            return losses.sum()

        return brainstate.transform.for_loop(learn, *pieces)

    def _answers(self, x):
        """Answers [T, B, n] to a stream [T, B, I] that begins with states of zeros; learning goes on where it was."""
        states = self.network.states(brainstate.HiddenState).values()
        kept = [state.value for state in states]
        for state, value in zip(states, kept):
            state.value = jnp.zeros_like(value)
        answers = brainstate.transform.for_loop(self.network.update, x)
        for state, value in zip(states, kept):
            state.value = value
        return answers


def run(say):
    """All learning rates, or the check."""
    settings = protocol.settings()
    with np.load(settings["data"], allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    folder = pathlib.Path(settings["answers"])
    learner = Learner(settings, data)
    pieces = [data[f"train_{name}"] for name in ("x", "y", "weight")]
    versions = protocol.versions("braintrace", "brainstate", "jax", "jaxlib", "numpy")
    say(versions=versions, numbers=learner.numbers())
    if settings.get("check"):
        first = [jnp.asarray(array[0]) for array in pieces]
        np.save(folder / "answers.npy", learner.answers(first[0]))
        gradients, losses = brainstate.transform.jit(learner.gradients)(*first)
        incoming, outgoing = (gradients[name, "weight"] for name in ("incoming", "outgoing"))
        found = {"weights": incoming["weight"], "bias": incoming["bias"]}
        found |= {"readout": outgoing["weight"], "readout_bias": outgoing["bias"], "loss": losses.sum()}
        np.savez(folder / "gradients.npz", **found)
        return
    updates, validation, test = len(pieces[0]), jnp.asarray(data["validation_x"]), jnp.asarray(data["test_x"])
    for rate in settings["rates"]:
        learner.begin()
        seconds = []
        for point, part in enumerate(zip(*(np.split(array, settings["points"]) for array in pieces)), 1):
            before = time.perf_counter()
            losses = jax.block_until_ready(learner.train(part, rate, float(updates)))
            seconds.append(time.perf_counter() - before)
            np.save(folder / f"validation-{rate:g}-{point}.npy", learner.answers(validation))
        np.save(folder / f"test-{rate:g}.npy", learner.answers(test))
        say(rate=rate, seconds=seconds, last_loss=float(losses.mean()))


if __name__ == "__main__":
    protocol.answering(run)
