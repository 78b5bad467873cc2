"""What the numbers were measured for: ratios and exponents."""

import numpy as np

from . import plan
from .environments import PEERS


def summarize(parts):
    """Ratios and exponents by name.

    Args:
        parts: {part: list of `Measured` as dicts}.

    Returns:
        dict of numbers: only what the parts that are there tell.
    """
    rows = {row["name"]: row for part in parts.values() for row in part}
    found = {}
    for suffix in ("", ", batch 128", ", batch 256"):
        if plan.OURS + suffix in rows and plan.FLOOR + suffix in rows:
            found[f"step over floor{suffix}"] = seconds(rows, plan.OURS + suffix) / seconds(rows, plan.FLOOR + suffix)
    if "step" in parts:
        found.update(of_step(rows))
    for axis in plan.SCALES if "scale" in parts else ():
        scaled = [row for row in parts["scale"] if row["name"].startswith(axis)]
        found[f"exponent of the time in {axis}"] = exponent(scaled, axis)
    if "memory" in parts:
        found.update(of_memory(rows))
    return found


def seconds(rows, name):
    """A row's median step."""
    return rows[name]["seconds"]


def of_step(rows):
    """How fast this machine multiplies, and every row over ours; of a peer the better number of threads."""
    found = {}
    for name in (plan.FLOOR, plan.PEAK):
        found[f"GFLOP/s, {name}"] = rows[name]["loss"] / seconds(rows, name) / 1e9
    rate = found[f"GFLOP/s, {plan.PEAK}"]
    ideal = rows[plan.FLOOR]["loss"] / 1e9 / rate
    found["step over the products' flop at the rate of one large product"] = seconds(rows, plan.OURS) / ideal
    ours = seconds(rows, plan.OURS)
    for name in (plan.ONE_THREAD, plan.EPROP, plan.ADJOINT, plan.PIECEWISE, plan.BPTT):
        found[f"{name}, over kernl"] = seconds(rows, name) / ours
    for name, peer in PEERS.items():
        for rule in peer.rules:
            times = [row["seconds"] for label, row in rows.items() if label.startswith(f"{name}, {rule},")]
            if times:
                found[f"{name}, {rule}, over kernl"] = min(times) / ours
    return found


def of_memory(rows):
    """Growth with the sequence, and a long stream over a short one."""
    growth = {}
    for name in (plan.OURS, plan.BPTT):
        peaks = {steps: rows[f"{name}, T {steps}"]["peak_mb"] for steps in plan.LENGTHS}
        growth[name] = 838 * np.polyfit(list(peaks), list(peaks.values()), 1)[0]  # compiling needs the same for all T
    long, short = (rows[f"stream, T {838 * pieces}"]["peak_mb"] for pieces in (plan.PIECES, 1))
    return {
        "MB that grow with T, kernl, T 838": float(growth[plan.OURS]),
        "MB that grow with T, BPTT, T 838": float(growth[plan.BPTT]),
        "the same, kernl over BPTT": float(growth[plan.OURS] / growth[plan.BPTT]),
        "peak memory of a stream, T 83,800 over T 838": long / short,
    }


def exponent(rows, axis):
    """The slope of log seconds over log size, by least squares."""
    sizes = np.log([row["settings"][axis] for row in rows])
    return float(np.polyfit(sizes, np.log([row["seconds"] for row in rows]), 1)[0])
