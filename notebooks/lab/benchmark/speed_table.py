"""The table of a training step: what each rule and each package takes."""

from . import plan
from .environments import PEERS

OURS = {  # row: what a reader calls it
    plan.ADJOINT: '**backpropagation through time**, `rule="bptt"`',
    plan.DEFAULT: '**KeRNL**, `rule="kernl"`',
    plan.WINDOWED: "KeRNL, `window=64`, linear memory",
    plan.PIECEWISE: "KeRNL in pieces of 100 steps, `stateful=True`",
    plan.OURS: "KeRNL, exponential kernels, M learns in every step",
    plan.EPROP: '**e-prop**, `rule="eprop"`',
    plan.BPTT: "backpropagation through time, `keras.layers.RNN` with the same cell",
}
LAYER, HAND = plan.LAYER
LAYER_RULES = {"eprop": "e-prop", "kernl": "KeRNL, M stands still", "bptt": "backpropagation"}


def window_table(parts):
    """The head and the lines of the table of windows; arguments and result as of `speed_table`."""
    rows = parts.get("windows", ())
    exact = next((row["seconds"] for row in rows if row["name"] == "exact backpropagation"), None)
    lines = [
        [row["name"], f"{row['seconds']:.3f}", f"{row['seconds'] / exact:.2f}", f"{row['peak_mb']:,.0f}"]
        for row in rows
    ]
    return ["", "seconds", "relative to exact backpropagation", "peak MB"], lines


def layer_table(parts):
    """The head and the lines of the layer beside loops by hand; arguments and result as of `speed_table`.

    Each number is the shortest of the runs in ms: what else the machine does makes runs longer, and none shorter.
    """
    shortest = {}
    for row in parts.get("layer", ()):
        settings = row["settings"]
        place = shortest.setdefault((settings["threads"], settings["of_rule"]), {})
        place[settings["rule"]] = 1e3 * min(row["every"])
    lines = [
        [
            f"{threads}",
            LAYER_RULES[rule],
            f"{times[LAYER]:.0f}",
            f"{times[HAND]:.0f}",
            f"{times[LAYER] / times[HAND]:.2f}",
        ]
        for (threads, rule), times in shortest.items()
    ]
    return ["threads", "", "the layer, ms", "by hand, ms", "ratio"], lines


def speed_table(parts):
    """The head and the lines of the table of "step" among the `parts`; a row that was not measured is left out."""
    rows = {row["name"]: row for row in parts["step"]}
    exact = rows[plan.ADJOINT]["seconds"]
    found = [(label, rows[name]["seconds"]) for name, label in OURS.items() if name in rows]
    for package, peer in PEERS.items():
        for rule in peer.rules:
            measured = [row for name, row in rows.items() if name.startswith(f"{package}, {rule},")]
            if measured:
                best = min(measured, key=lambda row: row["seconds"])
                by = "backpropagation through time" if rule == "bptt" else rule
                found.append((f"{peer.name} {best['versions'][package]}, {by}", best["seconds"]))
    lines = [[label, f"{seconds:.3f}", f"{seconds / exact:.1f}"] for label, seconds in found]
    return ["", "seconds", "relative to the first row"], lines
