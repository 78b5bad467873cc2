"""What the benchmark measures: the rows of each of its parts."""

from .environments import PEERS, environment
from .workers import Row

REFERENCE = {"batch": 25, "steps": 838, "inputs": 81, "units": 200, "outputs": 10}
OURS, FLOOR, PEAK, BPTT = "kernl", "floor", "one large product", "keras.layers.RNN, BPTT"
ONE_THREAD, EPROP, ADJOINT, PIECEWISE = "kernl, one thread", "eprop", "bptt", "kernl, pieces of 100"
RULES = ("kernl", "eprop", "eprop_alif", "rflo", "readout")
SCALES = {
    "steps": (200, 838, 3352, 20_000),
    "batch": (25, 64, 128, 256),
    "units": (100, 200, 400, 800, 1600),
}
LENGTHS = (200, 838, 3352)
PIECES = 100  # of 838 steps: 83,800


def ours(name, threads, **settings):
    """A row of this package: KeRNL, factored, XLA, on the reference network, but for `settings`."""
    return Row(name, {**REFERENCE, "threads": threads, "rule": "kernl", **settings})


def step_rows(threads, peers=()):
    """The training step beside its floor, backpropagation, one thread, and the peers."""
    rows = [
        ours(OURS, threads),
        ours(FLOOR, threads, rule="floor"),
        ours(PEAK, threads, rule="peak"),
        ours(ONE_THREAD, 1),
        ours(EPROP, threads, rule="eprop"),
        ours(ADJOINT, threads, rule="bptt_adjoint"),
        ours(PIECEWISE, threads, implementation="chunked", chunk_size=100),
        ours(BPTT, threads, rule="keras_bptt"),
    ]
    for name, python in peers:
        for rule in PEERS[name].rules:
            for count in sorted({1, threads}):  # small products on several threads may be slower: the better one counts
                settings = {**REFERENCE, "threads": count, "rule": rule}
                rows.append(Row(f"{name}, {rule}, {count} threads", settings, python, PEERS[name].script))
    return rows


def batch_rows(threads):
    """The training step and its floor at larger batches."""
    return [
        row
        for batch in (128, 256)
        for row in (
            ours(f"{OURS}, batch {batch}", threads, batch=batch),
            ours(f"{FLOOR}, batch {batch}", threads, batch=batch, rule="floor"),
        )
    ]


def rule_rows(threads):
    """Every rule and every implementation, as a graph and compiled by XLA."""
    rows = []
    for jit_compile, mode in ((True, "XLA"), (False, "graph")):
        for rule in (*RULES, "bptt"):
            rows.append(ours(f"{rule}, {mode}", threads, rule=rule, jit_compile=jit_compile))
        rows.append(ours(f"kernl plain, {mode}", threads, form="plain", jit_compile=jit_compile))
        for name in ("online", "chunked"):
            settings = {"implementation": name, **({"chunk_size": 100} if name == "chunked" else {})}
            rows.append(ours(f"kernl {name}, {mode}", threads, jit_compile=jit_compile, **settings))
    return rows


def scale_rows(threads):
    """The step as one of its sizes grows."""
    return [ours(f"{axis} {size}", threads, **{axis: size}) for axis, sizes in SCALES.items() for size in sizes]


def memory_rows(threads):
    """Memory as the sequence grows: factored, backpropagation, and a stream of pieces."""
    stream = {"implementation": "chunked", "chunk_size": 100}
    return [
        *(ours(f"{OURS}, T {steps}", threads, steps=steps) for steps in LENGTHS),
        *(ours(f"{BPTT}, T {steps}", threads, steps=steps, rule="keras_bptt") for steps in LENGTHS),
        *(ours(f"stream, T {838 * pieces}", threads, pieces=pieces, **stream) for pieces in (1, PIECES)),
    ]


def build_peers(folder, say=print):
    """`(name, python)` of every peer, its environment built where it is missing."""
    for name in PEERS:
        say(f"  environment of {name}")
        yield name, environment(name, folder)
