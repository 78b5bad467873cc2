"""The table of a training step: what each rule and each package takes."""

from . import plan
from .environments import PEERS

OURS = {  # row: what a reader calls it
    plan.ADJOINT: '**backpropagation through time**, `rule="bptt"`',
    plan.OURS: "**KeRNL**, exponential kernels",
    plan.EPROP: '**e-prop**, `rule="eprop"`',
    plan.PIECEWISE: "KeRNL in pieces of 100 steps, with traces",
    plan.BPTT: "backpropagation through time, `keras.layers.RNN` with the same cell",
}
PACKAGES = {"snntorch": "snnTorch", "spikingjelly": "SpikingJelly", "norse": "Norse", "braintrace": "BrainTrace"}


def speed_table(parts):
    """The head and the lines of the table.

    Args:
        parts: {part: list of `Measured` as dicts}, of which it shows "step"; a row that was not measured is left out.

    Returns:
        list of heads, and a list of lines, each a list of cells.
    """
    rows = {row["name"]: row for row in parts["step"]}
    kernl = rows[plan.OURS]["seconds"]
    found = [(label, rows[name]["seconds"]) for name, label in OURS.items() if name in rows]
    for package, peer in PEERS.items():
        for rule in peer.rules:
            measured = [row for name, row in rows.items() if name.startswith(f"{package}, {rule},")]
            if measured:
                best = min(measured, key=lambda row: row["seconds"])
                by = "backpropagation through time" if rule == "bptt" else rule
                found.append((f"{PACKAGES[package]} {best['versions'][package]}, {by}", best["seconds"]))
    lines = [[label, f"{seconds:.3f}", f"{seconds / kernl:.1f}"] for label, seconds in found]
    return ["", "seconds", "relative to KeRNL"], lines
