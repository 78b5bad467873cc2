"""The public names, and what each of their arguments may be."""

import dataclasses
import typing
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

import kernl_keras as kk
from kernl_keras import types
from kernl_keras.keras_version import keras

from .tried import WORDS, Kind, flag, integer, number, optional, per_unit, word

H = 3
LONG = st.floats(1e-3, 1e9)  # ms
LISTED = st.floats(1e-3, 5e4)  # those that single precision tells from none


def words(alias, good=None):
    """The words that a type allows; `good` is a strategy of all that works, if there is more."""
    made = word(*typing.get_args(alias))
    return made if good is None else made.but(good)


def bools(size):
    """Lists of so many."""
    return st.lists(st.booleans(), min_size=size, max_size=size)


def share(**bounds):
    """A number in [0, 1], or a list of bools."""
    made = number(**bounds)
    above_one = st.floats(1.0, 1e6, exclude_min=True)
    made.bad["a number out of range"] |= above_one
    made.bad["a list that does not fit"] = bools(H - 1) | bools(H + 1)
    made.bad["a bad entry of a list"] = st.just([True, "1", False])
    return made


SEED = optional(integer(0))
TAU = per_unit(H, above=0.0, good=LISTED)
TAU = TAU.but(TAU.good | LONG)
PIPELINE = {"batch_size": integer(), "seed": integer(0), "repeat": flag(), "skip_batches": integer(0).but(st.just(0))}
GENERATED = {"steps": integer(2), "validation": integer(0), "test": integer(), **PIPELINE}
UPDATE_FREQ = integer().but(st.just("epoch") | st.integers(1, 9), "epoch")
LEARN = Kind(st.just([]), an_unknown_word=WORDS.filter(lambda value: value != []))
POSITIVE, AT_LEAST_0 = number(above=0.0), number(low=0.0, good=st.floats(0.0, 1e3))
DT = number(above=0.0, good=st.floats(0.01, 10.0))
OF_WEIGHTS = ("initializer", "regularizer", "constraint")
INITIALIZERS = {f"{weight}_{kind}" for weight in ("kernel", "recurrent", "bias") for kind in OF_WEIGHTS}
INITIALIZERS |= {"sensitivity_initializer", "feedback_initializer", "initializer"}
OTHERS = {"activity_regularizer", "cell", "kwargs", "log_dir", "model", "x", "y", "sample_weight", "data", "data_dir",
          "examples", "optimizer", "loss", "sensitivity_optimizer", "overrides", "self", "args"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Public:
    """A public name, small."""

    make: Callable  # of the arguments by name
    arguments: dict  # {name: `Kind`}
    least: dict = dataclasses.field(default_factory=dict)  # without which it cannot be made
    of: Callable | None = None  # whose signature it is, if not that of `make`

    @property
    def signature(self):
        return self.of or self.make


HIDDEN = {
    "units": integer(good=st.just(H)),
    "self_connections": flag(),
    "use_bias": flag(),
    "dt": DT,
    "learn": LEARN,
    "recurrent_connectivity": optional(share(low=0.0, good=st.floats(0.0, 1.0) | bools(H).map(lambda row: [row] * H))),
    "excitatory": optional(share(low=0.0, good=st.floats(0.0, 1.0) | bools(H))),
    "connectivity_seed": optional(integer(0)),
}
GAINS = {"input_gain": AT_LEAST_0, "recurrent_gain": AT_LEAST_0}
SPIKES = {
    "tau_s": optional(TAU),
    "tau_a": TAU,
    "base_threshold": per_unit(H, above=0.0, good=st.floats(1e-3, 1e3)),
    "adaptation_strength": per_unit(H, low=0.0, good=st.floats(0.0, 1e3)),
    "surrogate": words(types.SurrogateName),
    "surrogate_damping": AT_LEAST_0,
}
READOUT = {
    "units": integer(good=st.just(H)),
    "tau_out": optional(TAU),
    "learn": LEARN,
    "gain": optional(POSITIVE),
    "dt": DT,
    "discretization": word("exponential"),
    "feedback": words(types.Feedback),
}
ENCODER = {
    "units": integer(good=st.sampled_from([2, 4])),
    "code": words(types.Code),
    "gain": POSITIVE,
    "seed": SEED,
    "stateful": flag(),
    "delta": optional(POSITIVE),
    "period": optional(integer()),
}
RESISTANCE = optional(per_unit(H, above=0.0, good=st.floats(1e-3, 1e3)))
PERIOD = per_unit(H, above=0.0, good=st.floats(21.0, 1e6))


PERTURBATION = {"resync_every": optional(integer()), "observe": optional(words(types.Observable))}
TRACES = Kind(
    st.none() | st.booleans() | st.just("linear"),
    **{n.replace(" ", "_"): s.filter(lambda v: not (v is None or isinstance(v, bool)))
       for n, s in words(types.TracesName).bad.items()},
)  # fmt: skip
LEARNED = {"perturbation": words(types.PerturbationName), "learn_sensitivity": flag()}
RULES = {
    "rules.KeRNL": Public(kk.rules.KeRNL, {**LEARNED, "kernel": words(types.KernelName), "adaptation": flag(),
                                          "reset_gradient": flag()}),
    "rules.PlainKeRNL": Public(kk.rules.PlainKeRNL, {
        **LEARNED, "kernel": word("exponential"), "noise": optional(words(types.Noise)),
        "post_factor": optional(words(types.PostFactor)), "credit": words(types.Credit),
    }),
    "rules.PlainKeRNL.reference": Public(lambda time_steps=4: kk.rules.PlainKeRNL.reference(time_steps),
                                         {"time_steps": integer()}, of=kk.rules.PlainKeRNL.reference),
    "rules.EProp": Public(kk.rules.EProp, {"adaptation": flag(), "reset_gradient": flag()}),
    "rules.LinearTraces": Public(
        kk.rules.LinearTraces,
        {"poles": optional(integer()), "hops": integer(0), "average": POSITIVE,
         "damping": number(low=0.0, good=st.floats(0.0, 1.0)), "segments": optional(integer(0)),
         "segment_steps": optional(integer()),
         "stride": optional(integer(good=st.sampled_from([1, 2, 4])))},
    ),  # fmt: skip
    "rules.RFLO": Public(kk.rules.RFLO, {}),
    "rules.BPTT": Public(kk.rules.BPTT, {"tape": flag()}),
    "rules.ReadoutOnly": Public(kk.rules.ReadoutOnly, {}),
    "rules.Membrane": Public(kk.rules.Membrane, {"arrival": flag()}),
    "rules.WholeUnit": Public(kk.rules.WholeUnit, {}),
    "rules.Exponential": Public(kk.rules.Exponential, {"count": integer(good=st.integers(1, 2)), "learn": flag()}),
    "rules.Tangent": Public(kk.rules.Tangent, {**PERTURBATION, "max_perturbation": POSITIVE}),
    "rules.Twin": Public(kk.rules.Twin, {**PERTURBATION, "std": POSITIVE}),
    "rules.Replica": Public(kk.rules.Replica, {**PERTURBATION, "std": POSITIVE}),
    "rules.get": Public(
        lambda rule="kernl": kk.rules.get(rule),
        {"rule": words(types.RuleName)},
        of=kk.rules.get,
    ),
}  # fmt: skip


def good(name, **more):
    """Strategy: one of the rules' objects, with any of its arguments; `more` are strategies beside their words."""
    kinds = {argument: kind.good for argument, kind in RULES[f"rules.{name}"].arguments.items()}
    kinds |= {argument: kinds[argument] | strategy for argument, strategy in more.items()}
    return st.fixed_dictionaries({}, optional=kinds).map(lambda settings: RULES[f"rules.{name}"].make(**settings))


PERTURBATIONS = {"perturbation": good("Tangent") | good("Twin") | good("Replica")}
EVERY_RULE = st.one_of(
    words(types.RuleName).good,
    good("KeRNL", kernel=good("Exponential") | good("Membrane") | good("WholeUnit"), **PERTURBATIONS),
    good("PlainKeRNL", kernel=good("Exponential"), **PERTURBATIONS),
    *map(good, ("EProp", "RFLO", "BPTT", "ReadoutOnly")),
)


def layer(**settings):
    return kk.RNN(kk.LIFCell(H, use_bias=True), **settings)


def model():
    inputs = keras.Input((4, 2))
    hidden = kk.RNN(kk.LIFCell(H, tau_ref=0.0), name="hidden", seed=1)(inputs)
    return kk.Model(inputs, kk.Readout(2, name="readout")(hidden))


def compile_model(model=[], **settings):  # noqa: B006 - made once, when it is needed
    model or model.append(globals()["model"]())
    model[0].compile("sgd", "mse", **settings)
    return model[0]


BATCHES = tf.data.Dataset.from_tensor_slices((np.zeros((4, 3, 2)), np.zeros(4))).batch(2)


class Own(kk.Unit):
    """A unit of one's own."""

    def integrate(self, state, current, p):
        return (current,)

    def distance(self, before, p):
        return before.v - 1.0

    def recover(self, before, spike, p):
        return (before.v * (1.0 - spike),)


PUBLIC = {
    "LIFCell": Public(kk.LIFCell, {
        **HIDDEN, **GAINS, **SPIKES, "tau_m": TAU, "tau_ref": AT_LEAST_0, "resistance": RESISTANCE,
        "reset_potential": number(), "reset": words(types.Reset),
        "discretization": word("exponential"),
    }, {"units": H}),
    "AdLIFCell": Public(kk.AdLIFCell, {
        **HIDDEN, **GAINS, **SPIKES, "tau_m": optional(TAU), "tau_a": optional(TAU),
        "resistance": RESISTANCE, "coupling": per_unit(H, low=0.0, good=st.floats(0.0, 1e3)),
    }, {"units": H}),
    "ResonatorCell": Public(kk.ResonatorCell, {
        **HIDDEN, **GAINS, **SPIKES, "tau_m": TAU, "period": optional(PERIOD),
    }, {"units": H}),
    "LeakyRNNCell": Public(kk.LeakyRNNCell, {
        **HIDDEN, "tau": optional(TAU), "activation": words(types.Activation),
        "discretization": word("exponential"), "period": optional(PERIOD),
    }, {"units": H, "tau": 20.0}),
    "LSTMCell": Public(kk.LSTMCell, {
        **{name: kind for name, kind in HIDDEN.items() if name != "learn"}, "unit_forget_bias": flag(),
    }, {"units": H}),
    "Unit": Public(Own, {**HIDDEN, **GAINS, "surrogate": words(types.SurrogateName), "surrogate_damping": AT_LEAST_0},
        {"units": H}),
    "ReadoutCell": Public(kk.ReadoutCell, {**READOUT, "use_bias": flag()}, {"units": H}),
    "Readout": Public(
        kk.Readout,
        {**READOUT, "return_sequences": Kind(st.booleans()), "traces": Kind(st.none() | st.booleans())},
        {"units": H},
    ),
    "InputSpikeCell": Public(kk.InputSpikeCell, {"units": optional(integer()), "seed": SEED}),
    "ContextCell": Public(kk.ContextCell, {"context_switch": integer(0)}),
    "SpikeEncoder": Public(kk.SpikeEncoder, {**ENCODER, "context_switch": optional(integer(0))}, {"units": 2}),
    "AudioEncoder": Public(kk.AudioEncoder, {
        **ENCODER, "bands": integer(good=st.just(4)), "sampling_rate": number(above=0.0, good=st.just(8000.0)),
        "frame": number(above=0.0, good=st.just(25.0)), "hop": number(above=0.0, good=st.just(10.0)),
        "low": number(low=0.0, good=st.just(80.0)), "high": optional(number(above=0.0, good=st.just(3000.0))),
        "compression": words(types.Compression), "tau": optional(POSITIVE),
    }, {"units": 2}),
    "TimeAverage": Public(kk.TimeAverage, {"last": optional(integer(good=st.just(1))), "stateful": flag()}),
    "LogUniform": Public(kk.LogUniform, {"low": POSITIVE, "high": number(above=0.0, good=st.floats(1e3, 1e9)),
                                         "seed": SEED}, {"low": 1e-3, "high": 1e3}),
    "LogSpaced": Public(kk.LogSpaced, {"low": POSITIVE, "high": number(above=0.0, good=st.floats(1e3, 1e9)),
                                       "count": integer(2, good=st.integers(2, 9))}, {"low": 1e-3, "high": 1e3}),
    "FiringRate": Public(kk.FiringRate, {
        "target": AT_LEAST_0.but(AT_LEAST_0.good, None),
        "low": optional(AT_LEAST_0), "high": optional(AT_LEAST_0), "strength": AT_LEAST_0, "dt": POSITIVE,
        "per_unit": flag(),
    }, {"target": 10.0}),
    "RNN": Public(layer, {
        "rule": words(types.RuleName, EVERY_RULE), "window": optional(integer()), "traces": TRACES, "seed": SEED,
        "return_sequences": Kind(st.booleans()),
    }, of=kk.RNN),
    **RULES,
    "Model.compile": Public(compile_model, {
        "sensitivity_only": integer(0), "sensitivity_every": integer(), "on_nonfinite": words(types.OnNonfinite),
        "diagnostics": flag(),
    }, of=kk.Model.compile),
    "TensorBoard": Public(kk.TensorBoard, {
        "update_freq": UPDATE_FREQ, "histograms": flag(), "images": flag(), "raster": flag(),
    }),
    "StreamBackup": Public(kk.StreamBackup, {
        "path": Kind(st.just("a.npz"), an_unknown_word=st.sampled_from(["", "much", "a.h5"])),
    }),
    "StreamMonitor": Public(kk.StreamMonitor, {"update_freq": UPDATE_FREQ, "last": integer(), "steps": integer()}),
    "GradientAlignment": Public(kk.GradientAlignment, {
        "update_freq": UPDATE_FREQ,
        "rules": Kind(st.none() | st.lists(st.sampled_from(typing.get_args(types.RuleName))),
                      an_unknown_word=st.sampled_from(["kernl", 3, 0.5])),
        "windows": integer(),
    }),
    "data.adding_problem": Public(kk.data.adding_problem, GENERATED),
    "data.anbn": Public(kk.data.anbn, {
        "shortest": integer(good=st.integers(1, 3)), "longest": integer(good=st.integers(3, 9)), **GENERATED,
    }),
    "data.sequential_mnist": Public(kk.data.sequential_mnist, {
        "source": word("sample"), "layout": word("pixels", "rows"), "size": word(28, 14),
        "order": word("row", "permuted"), "permutation_seed": integer(0), "context_steps": integer(0),
        "validation": optional(integer(0)), "download": Kind(st.booleans()), **PIPELINE,
        "shift": Kind(
            st.tuples(st.integers(0, 3), st.integers(0, 3)), no_pair_of_integers=st.sampled_from([2, (1,), (0.5, 1)]),
            a_number_out_of_range=st.sampled_from([(28, 0), (0, 99), (-1, 0)]),
        ),
    }),
    "data.ecg": Public(kk.data.ecg, {
        "validation": integer(0), "channel_dropout": number(low=0.0, good=st.floats(0.0, 0.9)), **PIPELINE,
    }),
    "data.stream": Public(lambda **settings: kk.data.stream(np.ones((3, 2, 1)), np.arange(3), **settings), {
        "every": optional(integer(good=st.just(30))), "answer": optional(integer()), "noise": AT_LEAST_0,
        "piece": integer(), "batch_size": integer(), "seed": integer(0), "skip_pieces": integer(0),
        "lengths": Kind(st.none(), a_list_that_does_not_fit=st.sampled_from([[1], [0, 1, 1], [1, 1, 9], [1.5, 1, 1]])),
    }, of=kk.data.stream),
    "data.full_batches": Public(lambda batch_size=2: kk.data.full_batches(BATCHES, batch_size),
                                {"batch_size": integer(good=st.integers(2, 5))}, of=kk.data.full_batches),
    "load_pretrained": Public(kk.load_pretrained, {"name": Kind(st.nothing(), an_unknown_word=WORDS)}),
    "to_nir": Public(lambda **settings: kk.to_nir(compile_model(), **settings), {
        "discretization": word("euler", "exponential"), "dt": optional(number(above=0.0, good=st.just(1e-3))),
    }, of=kk.to_nir),
}  # fmt: skip
