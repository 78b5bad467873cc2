"""The public names, and what each of their arguments may be."""

import inspect
import typing

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

import kernl_keras as kk
from kernl_keras import types
from kernl_keras.keras_version import keras

from ..signatures import constructor_arguments
from .tried import WORDS, Kind, flag, integer, number, optional, per_unit, word

H = 3


def words(alias, good=None):
    """The words that a type allows; `good` is a strategy of all that works, if there is more."""
    made = word(*typing.get_args(alias))
    return made if good is None else made.but(good)


def bools(size):
    """Lists of so many."""
    return st.lists(st.booleans(), min_size=size, max_size=size)


def share(good):
    """A number in [0, 1], or a list of bools."""
    made = number(low=0.0, good=st.floats(0.0, 1.0) | good)
    above_one = st.floats(1.0, 1e6, exclude_min=True)
    made.bad["a number out of range"] |= above_one
    made.bad["a list that does not fit"] = bools(H - 1) | bools(H + 1)
    made.bad["a bad entry of a list"] = st.just([True, "1", False])
    return made


TAU = per_unit(H, above=0.0, good=st.floats(1e-3, 5e4))  # ms; of a list those that single precision tells from none
TAU = TAU.but(TAU.good | st.floats(1e-3, 1e9))
PERIOD = per_unit(H, above=0.0, good=st.floats(21.0, 1e6))
POSITIVE, AT_LEAST_0 = number(above=0.0), number(low=0.0, good=st.floats(0.0, 1e3))
EXAMPLES = {"batch_size": integer(), "seed": integer(0), "skip_batches": integer(0).but(st.just(0))}
GENERATED = {"steps": integer(2), "validation": integer(0), "test": integer(), **EXAMPLES}
OF_WEIGHTS = ("initializer", "regularizer", "constraint")
INITIALIZERS = {f"{weight}_{kind}" for weight in ("kernel", "recurrent", "bias") for kind in OF_WEIGHTS}
INITIALIZERS |= {"sensitivity_initializer", "feedback_initializer", "initializer"}
OTHERS = {"activity_regularizer", "cell", "kwargs", "log_dir", "model", "x", "y", "sample_weight", "data", "data_dir",
          "examples", "optimizer", "loss", "sensitivity_optimizer", "overrides", "self", "args"}  # fmt: skip

FLAGS = """self_connections use_bias unit_forget_bias stateful per_unit adaptation reset_gradient learn_sensitivity tape
arrival diagnostics histograms images raster repeat"""
ARGUMENTS = {  # what is the same wherever an argument of this name is
    **dict.fromkeys(FLAGS.split(), flag()),
    "units": integer(good=st.just(H)),
    "dt": number(above=0.0, good=st.floats(0.01, 10.0)),
    "seed": optional(integer(0)),
    "learn": Kind(st.just([]), an_unknown_word=WORDS.filter(lambda value: value != [])),
    "recurrent_connectivity": optional(share(bools(H).map(lambda row: [row] * H))),
    "excitatory": optional(share(bools(H))),
    "connectivity_seed": optional(integer(0)),
    "input_gain": AT_LEAST_0,
    "recurrent_gain": AT_LEAST_0,
    "tau_m": TAU,
    "tau_a": TAU,
    "tau_s": optional(TAU),
    "tau_out": optional(TAU),
    "tau_ref": AT_LEAST_0,
    "tau": optional(TAU),
    "period": optional(PERIOD),
    "resistance": optional(per_unit(H, above=0.0, good=st.floats(1e-3, 1e3))),
    "base_threshold": per_unit(H, above=0.0, good=st.floats(1e-3, 1e3)),
    "adaptation_strength": per_unit(H, low=0.0, good=st.floats(0.0, 1e3)),
    "coupling": per_unit(H, low=0.0, good=st.floats(0.0, 1e3)),
    "reset": words(types.Reset),
    "reset_potential": number(),
    "surrogate": words(types.SurrogateName),
    "surrogate_damping": AT_LEAST_0,
    "activation": words(types.Activation),
    "discretization": word("exponential"),
    "feedback": words(types.Feedback),
    "code": words(types.Code),
    "delta": optional(POSITIVE),
    "return_sequences": Kind(st.booleans()),
    "perturbation": words(types.PerturbationName),
    "kernel": words(types.KernelName),
    "noise": optional(words(types.Noise)),
    "post_factor": optional(words(types.PostFactor)),
    "credit": words(types.Credit),
    "resync_every": optional(integer()),
    "observe": optional(words(types.Observable)),
    "max_perturbation": POSITIVE,
    "std": POSITIVE,
    "count": integer(good=st.integers(1, 2)),
    "update_freq": integer().but(st.just("epoch") | st.integers(1, 9), "epoch"),
    "last": integer(),
    "steps": integer(),
    "windows": integer(),
}


class Public:
    """A public name: how it is made, the arguments that it cannot be made without, and what each of them may be."""

    def __init__(self, make, of=None, least=(), **others):
        """`of` has the signature, if `make` has not; `others` are arguments that are not as in `ARGUMENTS`."""
        self.make, self.least = make, dict(least)
        of = of or make
        names = constructor_arguments(of) if inspect.isclass(of) else inspect.signature(of).parameters
        names = [name for name in names if name not in INITIALIZERS | OTHERS]
        assert set(others) <= set(names), set(others) - set(names)
        self.arguments = {name: others[name] if name in others else ARGUMENTS[name] for name in names}


def good(name, **more):
    """Strategy: one of the rules' objects, with any of its arguments; `more` are strategies beside their words."""
    kinds = {argument: kind.good for argument, kind in RULES[f"rules.{name}"].arguments.items()}
    kinds |= {argument: kinds[argument] | strategy for argument, strategy in more.items()}
    return st.fixed_dictionaries({}, optional=kinds).map(lambda settings: RULES[f"rules.{name}"].make(**settings))


TRACES = Kind(
    st.none() | st.booleans() | st.just("linear"),
    **{n.replace(" ", "_"): s.filter(lambda v: not (v is None or isinstance(v, bool)))
       for n, s in words(types.TracesName).bad.items()},
)  # fmt: skip
POLES = {
    "poles": optional(integer()), "hops": optional(integer(0)), "average": POSITIVE,
    "damping": number(low=0.0, good=st.floats(0.0, 1.0)), "segments": optional(integer(0)),
    "segment_steps": optional(integer()),
}  # fmt: skip
PLAIN_RULES = "KeRNL EProp RFLO BPTT ReadoutOnly Membrane WholeUnit Tangent Twin Replica".split()
RULES = {
    **{f"rules.{name}": Public(getattr(kk.rules, name)) for name in PLAIN_RULES},
    "rules.PlainKeRNL": Public(kk.rules.PlainKeRNL, kernel=word("exponential")),
    "rules.PlainKeRNL.reference": Public(
        lambda time_steps=4: kk.rules.PlainKeRNL.reference(time_steps), kk.rules.PlainKeRNL.reference,
        time_steps=integer(),
    ),
    "rules.LinearTraces": Public(kk.rules.LinearTraces, **POLES),
    "rules.Exponential": Public(kk.rules.Exponential, learn=flag()),
    "rules.get": Public(lambda rule="kernl": kk.rules.get(rule), kk.rules.get, rule=words(types.RuleName)),
}  # fmt: skip
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


UNITS, ENCODED = {"units": H}, {"units": integer(good=st.sampled_from([2, 4])), "gain": POSITIVE}
ENCODED |= {"period": optional(integer()), "context_switch": optional(integer(0))}
SOUND = {
    "bands": integer(good=st.just(4)), "sampling_rate": number(above=0.0, good=st.just(8000.0)),
    "frame": number(above=0.0, good=st.just(25.0)), "hop": number(above=0.0, good=st.just(10.0)),
    "low": number(low=0.0, good=st.just(80.0)), "high": optional(number(above=0.0, good=st.just(3000.0))),
    "compression": words(types.Compression), "tau": optional(POSITIVE),
}  # fmt: skip
OTHER_PATHS = st.sampled_from(["", "much", "a.h5"])
SPREAD = {"low": POSITIVE, "high": number(above=0.0, good=st.floats(1e3, 1e9))}
PUBLIC = {
    "LIFCell": Public(kk.LIFCell, least=UNITS),
    "AdLIFCell": Public(kk.AdLIFCell, least=UNITS, tau_m=optional(TAU), tau_a=optional(TAU)),
    "ResonatorCell": Public(kk.ResonatorCell, least=UNITS),
    "LeakyRNNCell": Public(kk.LeakyRNNCell, least={**UNITS, "tau": 20.0}),
    "LSTMCell": Public(kk.LSTMCell, least=UNITS),
    "Unit": Public(Own, least=UNITS),
    "ReadoutCell": Public(kk.ReadoutCell, least=UNITS, gain=optional(POSITIVE)),
    "Readout": Public(kk.Readout, least=UNITS, gain=optional(POSITIVE), traces=Kind(st.none() | st.booleans())),
    "InputSpikeCell": Public(kk.InputSpikeCell, units=optional(integer())),
    "ContextCell": Public(kk.ContextCell, context_switch=integer(0)),
    "SpikeEncoder": Public(kk.SpikeEncoder, least={"units": 2}, **ENCODED),
    "AudioEncoder": Public(kk.AudioEncoder, least={"units": 2}, **{k: v for k, v in ENCODED.items() if "_" not in k},
                           **SOUND),
    "TimeAverage": Public(kk.TimeAverage, last=optional(integer(good=st.just(1)))),
    "LogUniform": Public(kk.LogUniform, least={"low": 1e-3, "high": 1e3}, **SPREAD),
    "LogSpaced": Public(kk.LogSpaced, least={"low": 1e-3, "high": 1e3}, count=integer(2, good=st.integers(2, 9)),
                        **SPREAD),
    "FiringRate": Public(kk.FiringRate, least={"target": 10.0}, target=AT_LEAST_0.but(AT_LEAST_0.good, None),
                         low=optional(AT_LEAST_0), high=optional(AT_LEAST_0), strength=AT_LEAST_0, dt=POSITIVE),
    "RNN": Public(layer, kk.RNN, rule=words(types.RuleName, EVERY_RULE), window=optional(integer()), traces=TRACES),
    **RULES,
    "Model.compile": Public(compile_model, kk.Model.compile, sensitivity_only=integer(0), sensitivity_every=integer(),
                            on_nonfinite=words(types.OnNonfinite)),
    "TensorBoard": Public(kk.TensorBoard),
    "StreamBackup": Public(kk.StreamBackup, path=Kind(st.just("a.npz"), an_unknown_word=OTHER_PATHS)),
    "StreamMonitor": Public(kk.StreamMonitor),
    "GradientAlignment": Public(kk.GradientAlignment, rules=Kind(
        st.none() | st.lists(st.sampled_from(typing.get_args(types.RuleName))),
        an_unknown_word=st.sampled_from(["kernl", 3, 0.5]),
    )),
    "data.adding_problem": Public(kk.data.adding_problem, **GENERATED),
    "data.anbn": Public(kk.data.anbn, shortest=integer(good=st.integers(1, 3)),
                        longest=integer(good=st.integers(3, 9)), **GENERATED),
    "data.sequential_mnist": Public(
        kk.data.sequential_mnist, source=word("sample"), layout=word("pixels", "rows"), size=word(28, 14),
        order=word("row", "permuted"), permutation_seed=integer(0), context_steps=integer(0),
        validation=optional(integer(0)), download=Kind(st.booleans()), **EXAMPLES,
        shift=Kind(
            st.tuples(st.integers(0, 3), st.integers(0, 3)), no_pair_of_integers=st.sampled_from([2, (1,), (0.5, 1)]),
            a_number_out_of_range=st.sampled_from([(28, 0), (0, 99), (-1, 0)]),
        ),
    ),
    "data.ecg": Public(kk.data.ecg, validation=integer(0), channel_dropout=number(low=0.0, good=st.floats(0.0, 0.9)),
                       **EXAMPLES),
    "data.stream": Public(
        lambda **settings: kk.data.stream(np.ones((3, 2, 1)), np.arange(3), **settings), kk.data.stream,
        every=optional(integer(good=st.just(30))), answer=optional(integer()), noise=AT_LEAST_0, piece=integer(),
        batch_size=integer(), seed=integer(0), skip_pieces=integer(0),
        lengths=Kind(st.none(), a_list_that_does_not_fit=st.sampled_from([[1], [0, 1, 1], [1, 1, 9], [1.5, 1, 1]])),
    ),
    "data.full_batches": Public(lambda batch_size=2: kk.data.full_batches(BATCHES, batch_size), kk.data.full_batches,
                                batch_size=integer(good=st.integers(2, 5))),
    "load_pretrained": Public(kk.load_pretrained, name=Kind(st.nothing(), an_unknown_word=WORDS)),
    "to_nir": Public(lambda **settings: kk.to_nir(compile_model(), **settings), kk.to_nir,
                     discretization=word("euler", "exponential"), dt=optional(number(above=0.0, good=st.just(1e-3)))),
}  # fmt: skip
