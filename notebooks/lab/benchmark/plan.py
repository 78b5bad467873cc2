"""What the benchmark measures: the rows of each of its parts."""

import itertools

from .environments import PEERS, environment
from .workers import Row

REFERENCE = {"batch": 25, "steps": 838, "inputs": 81, "units": 200, "outputs": 10}
KERNL = {"kernel": "exponential"}  # as published: the floor has its products
RULES = {  # name of the row: the rule, and its settings
    "kernl": ("kernl", KERNL),
    "kernl membrane": ("kernl", {"kernel": "membrane"}),
    "kernl plain": ("plain_kernl", {}),
    "eprop": ("eprop", {"adaptation": False}),
    "eprop_alif": ("eprop", {}),
    "rflo": ("rflo", {}),
    "readout": ("readout_only", {}),
    "bptt": ("bptt", {}),
    "bptt by tape": ("bptt", {"tape": True}),
}
LAYER, BY_HAND = ("layer", "by hand"), ("eprop", "kernl", "bptt")
READOUT, ALL, CALL, LEARNS = "the readout's gradient", "all gradients", "`train_on_batch`", "M learns in it"
GRADIENTS = {READOUT: {"gradients": "readout"}, ALL: {"gradients": "all"}}
CADENCE = {"cadence": True}  # M learns as often as by default
PIECES = {"steps": 100, "pieces": 8}  # a stream: traces are carried, and the weights move after each piece
LINEAR_64 = {"layer": {"window": 64, "traces": "linear"}}
STEP = {  # name of the row: what a reader calls it, if a table has it; the rule, and other settings
    "bptt": ('**backpropagation through time**, `rule="bptt"`', "bptt", {}),
    "kernl, default": ('**KeRNL**, `rule="kernl"`', "kernl membrane", CADENCE),
    "kernl, window 64, linear memory": (
        "KeRNL, `window=64`, linear memory", "kernl membrane", {**CADENCE, **LINEAR_64}
    ),
    "kernl, pieces of 100": (
        "KeRNL in pieces of 100 steps, `stateful=True`", "kernl membrane", {**CADENCE, **PIECES}
    ),
    "kernl": ("KeRNL, exponential kernels, M learns in every step", "kernl", {}),
    "eprop": ('**e-prop**, `rule="eprop"`', "eprop", {}),
    "keras.layers.RNN, BPTT": (
        "backpropagation through time, `keras.layers.RNN` with the same cell", "keras_bptt", {}
    ),
    "kernl, one thread": (None, "kernl", {"threads": 1}),
    "floor": (None, "floor", {}),
    "one large product": (None, "peak", {}),
}  # fmt: skip
WINDOWS = {  # name of the row: the rule, and settings
    "exact backpropagation": ("bptt", {}),
    "KeRNL, window 1": ("kernl membrane", {}),
    "KeRNL, window 64": ("kernl membrane", {"layer": {"window": 64}}),
    "KeRNL, window 64, linear memory": ("kernl membrane", LINEAR_64),
    "KeRNL, window 100, linear memory": ("kernl membrane", {"layer": {"window": 100, "traces": "linear"}}),
    "KeRNL, window T": ("kernl membrane", {"layer": {"window": REFERENCE["steps"]}}),
    "KeRNL, pieces of 100, linear memory": ("kernl membrane", PIECES),
    "KeRNL, pieces of 100 in one call, linear memory": ("kernl membrane", {"one_call": True, **PIECES}),
    "KeRNL, pieces of 100, exact traces, window 1": ("kernl membrane", {"layer": {"traces": True}, **PIECES}),
    "e-prop": ("eprop_alif", {}),
    "e-prop, window 64, linear memory": ("eprop_alif", LINEAR_64),
    "e-prop, pieces of 100, exact traces, window 1": ("eprop_alif", PIECES),
    "truncated backpropagation, window 64": ("bptt", {"layer": {"window": 64}}),
    "truncated backpropagation, pieces of 100": ("bptt", PIECES),
    "truncated backpropagation, pieces of 100 in one call": ("bptt", {"one_call": True, **PIECES}),
}


def ours(name, threads, rule, settings):
    """A row of this package: a rule, XLA, on the reference network, but for `settings`."""
    word, of_rule = RULES.get(rule, (rule, {}))
    return Row(name, {**REFERENCE, "threads": threads, "rule": word, "rule_settings": of_rule, **settings})


def step_rows(threads):
    """The training step beside its floor, backpropagation and one thread."""
    return [ours(name, threads, rule, settings) for name, (_, rule, settings) in STEP.items()]


def window_rows(threads):
    """What windows, linear memory and pieces cost, beside exact backpropagation; M learns at its cadence."""
    return [ours(name, threads, rule, {**CADENCE, **settings}) for name, (rule, settings) in WINDOWS.items()]


def peer_rows(threads, folder):
    """The training step in the other packages; environments that are missing in `folder` are built."""
    rows = []
    for name, peer in PEERS.items():
        print(f"  environment of {name}")
        python = environment(name, folder)
        for rule, count in itertools.product(peer.rules, sorted({1, threads})):
            # small products on several threads may be slower: the better one counts
            settings = {**REFERENCE, "threads": count, "rule": rule}
            rows.append(Row(f"{name}, {rule}, {count} threads", settings, python, peer.script))
    return rows


def layer_rows(threads):
    """The layer alone, forward and the gradient of its weights for given errors, beside loops written by hand."""
    return [
        Row(f"{rule}, {who}, threads: {count}", {**REFERENCE, "threads": count, "rule": who, "of_rule": rule})
        for count, rule, who in itertools.product(sorted({1, threads}), BY_HAND, LAYER)
    ]


def call_rows(threads):
    """What of `train_on_batch` is the gradients, and what M that learns adds; M stands still in the other rows."""
    fixed = {"learn_sensitivity": False}
    rows = [("readout only", READOUT, "readout_only", {})]
    for what in (ALL, CALL):
        rows += [("readout only", what, "readout_only", {}), ("e-prop", what, "eprop", {})]
        rows += [("KeRNL", what, "kernl", fixed), ("backpropagation", what, "bptt", {})]
    rows.append(("KeRNL", LEARNS, "kernl", {}))
    return [
        ours(f"{name}, {what}, threads: {count}", count, rule, {"rule_settings": settings, **GRADIENTS.get(what, {})})
        for count in sorted({1, threads})
        for name, what, rule, settings in rows
    ]


PARTS = {"call": call_rows, "step": step_rows, "windows": window_rows, "layer": layer_rows}
