"""What the benchmark measures: the rows of each of its parts."""

import itertools

from .environments import PEERS, environment
from .workers import Row

REFERENCE = {"batch": 25, "steps": 838, "inputs": 81, "units": 200, "outputs": 10}
OURS, FLOOR, PEAK, BPTT = "kernl", "floor", "one large product", "keras.layers.RNN, BPTT"
ONE_THREAD, EPROP, ADJOINT, PIECEWISE = "kernl, one thread", "eprop", "bptt", "kernl, pieces of 100"
DEFAULT, WINDOWED = "kernl, default", "kernl, window 64, linear memory"
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
IN_PIECES = {"steps": 100, "pieces": 8}  # a stream: traces are carried, and the weights move after each piece


def ours(name, threads, rule="kernl", **settings):
    """A row of this package: a rule, XLA, on the reference network, but for `settings`."""
    word, of_rule = RULES.get(rule, (rule, {}))
    return Row(name, {**REFERENCE, "threads": threads, "rule": word, "rule_settings": of_rule, **settings})


def step_rows(threads):
    """The training step beside its floor, backpropagation and one thread."""
    return [
        ours(OURS, threads),
        ours(FLOOR, threads, rule="floor"),
        ours(PEAK, threads, rule="peak"),
        ours(ONE_THREAD, 1),
        ours(EPROP, threads, rule="eprop"),
        ours(ADJOINT, threads, rule="bptt"),
        ours(DEFAULT, threads, rule="kernl membrane", cadence=True),
        ours(WINDOWED, threads, rule="kernl membrane", cadence=True, layer={"window": 64, "traces": "linear"}),
        ours(PIECEWISE, threads, rule="kernl membrane", cadence=True, **IN_PIECES),
        ours(BPTT, threads, rule="keras_bptt"),
    ]


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
        for count in sorted({1, threads})
        for rule in BY_HAND
        for who in LAYER
    ]


def window_rows(threads):
    """What windows, linear memory and pieces cost, beside exact backpropagation; M learns at its cadence."""

    def row(name, rule="kernl membrane", **settings):
        return ours(name, threads, rule, **{"cadence": True, **settings})

    linear, exact = {"traces": "linear"}, {"traces": True}
    return [
        row("exact backpropagation", "bptt"),
        row("KeRNL, window 1"),
        row("KeRNL, window 64", layer={"window": 64}),
        row("KeRNL, window 64, linear memory", layer={"window": 64, **linear}),
        row("KeRNL, window 100, linear memory", layer={"window": 100, **linear}),
        row("KeRNL, window T", layer={"window": REFERENCE["steps"]}),
        row("KeRNL, pieces of 100, linear memory", **IN_PIECES),
        row("KeRNL, pieces of 100 in one call, linear memory", one_call=True, **IN_PIECES),
        row("KeRNL, pieces of 100, exact traces, window 1", layer=exact, **IN_PIECES),
        row("e-prop", "eprop_alif"),
        row("e-prop, window 64, linear memory", "eprop_alif", layer={"window": 64, **linear}),
        row("e-prop, pieces of 100, exact traces, window 1", "eprop_alif", **IN_PIECES),
        row("truncated backpropagation, window 64", "bptt", layer={"window": 64}),
        row("truncated backpropagation, pieces of 100", "bptt", **IN_PIECES),
        row("truncated backpropagation, pieces of 100 in one call", "bptt", one_call=True, **IN_PIECES),
    ]


PARTS = {"step": step_rows, "windows": window_rows, "layer": layer_rows}
