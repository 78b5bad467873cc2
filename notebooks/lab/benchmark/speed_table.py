"""The tables of a training step: what each rule and each package takes; head and lines of each part."""

from . import plan
from .environments import PEERS

LAYER, HAND = plan.LAYER
LAYER_RULES = {"eprop": "e-prop", "kernl": "KeRNL, M is fixed", "bptt": "backpropagation"}


def window_table(rows):
    """What windows and pieces take beside exact backpropagation."""
    exact = next(row["seconds"] for row in rows if row["name"] == "exact backpropagation")
    lines = [
        [row["name"], f"{row['seconds']:.3f}", f"{row['seconds'] / exact:.2f}", f"{row['peak_mb']:,.0f}"]
        for row in rows
    ]
    return ["", "seconds", "relative to exact backpropagation", "peak MB"], lines


def layer_table(rows):
    """The layer beside loops by hand: the shortest run in ms, since what else the machine does makes none shorter."""
    shortest = {}
    for row in rows:
        settings = row["settings"]
        place = shortest.setdefault((f"{settings['threads']}", LAYER_RULES[settings["of_rule"]]), {})
        place[settings["rule"]] = 1e3 * min(row["every"])
    both = [(name, times[LAYER], times[HAND]) for name, times in shortest.items()]
    lines = [[*name, f"{layer:.0f}", f"{hand:.0f}", f"{layer / hand:.2f}"] for name, layer, hand in both]
    return ["threads", "", "the layer, ms", "by hand, ms", "ratio"], lines


def speed_table(rows):
    """A step in this package and in others; what was not measured is left out."""
    rows = {row["name"]: row for row in rows}
    exact = rows["bptt"]["seconds"]
    found = [(label, rows[name]["seconds"]) for name, (label, *_) in plan.STEP.items() if label and name in rows]
    for package, peer in PEERS.items():
        for rule in peer.rules:
            measured = [row for name, row in rows.items() if name.startswith(f"{package}, {rule},")]
            if measured:
                best = min(measured, key=lambda row: row["seconds"])
                by = "backpropagation through time" if rule == "bptt" else rule
                found.append((f"{peer.name} {best['versions'][package]}, {by}", best["seconds"]))
    lines = [[label, f"{seconds:.3f}", f"{seconds / exact:.1f}"] for label, seconds in found]
    return ["", "seconds", "relative to the first row"], lines


def call_table(rows):
    """Gradients beside `train_on_batch`: the shortest run in ms."""
    shortest = {}
    for row in rows:
        name, what, _ = row["name"].split(", ")
        place = shortest.setdefault((f"{row['settings']['threads']}", name), {})
        place[what] = f"{1e3 * min(row['every']):.1f}"
    columns = [plan.READOUT, plan.ALL, plan.CALL, plan.LEARNS]
    return ["threads", "", *columns], [[*of, *(row.get(what, "") for what in columns)] for of, row in shortest.items()]


TABLES = {"call": call_table, "step": speed_table, "windows": window_table, "layer": layer_table}
