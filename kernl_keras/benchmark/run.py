"""`python -m kernl_keras benchmark`: measures, prints tables, writes a results file and draws it."""

import os
import platform
import shutil
import tempfile

import numpy as np

from ..experiments.files import write_json
from ..experiments.provenance import devices, git_revision, versions
from . import plan
from .workers import measure

PARTS = ("step", "batch", "rules", "scale", "memory")
GROUP = 6  # rows that run side by side; each is a process with a network in memory


def benchmark(path, parts=PARTS, peers_folder=None, threads=None, repeats=5, command="", say=print):
    """Measures the parts one after the other; after each the results file is written anew.

    Args:
        path: the results file, `pathlib.Path`.
        parts: of `PARTS`.
        peers_folder: where the environments of the peers lie or are built; None to leave the peers out.
        threads: of every row that does not say otherwise; None for all cores.
        repeats: steps a row, of which the median counts.
        command: the command line, for the record.
        say: is told how far it is.

    Returns:
        dict, what the file holds.
    """
    threads = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    results = {
        "machine": machine(),
        "threads": threads,
        "repeats": repeats,
        "versions": versions(),
        "git_revision": git_revision(),
        "command": command,
        "parts": {},
    }
    for part in parts:
        say(f"{part}:")
        found = run_part(part, threads, repeats, peers_folder, say)
        say(table(found))
        results["parts"][part] = [row._asdict() for row in found]
        results["summary"] = summary(results["parts"])
        write_json(path, results)
    for line, value in results["summary"].items():
        say(f"{line:60} {value:8.3g}")
    return results


def run_part(part, threads, repeats, peers_folder, say):
    """The list of `Measured` of a part."""
    if part == "step":
        peers = () if peers_folder is None else tuple(plan.build_peers(peers_folder, say))
        return measure(plan.step_rows(threads, peers), repeats, say)  # all side by side
    rows = {
        "batch": plan.batch_rows,
        "rules": plan.rule_rows,
        "scale": plan.scale_rows,
        "memory": plan.memory_rows,
    }[part](threads)
    size = {"batch": 2, "scale": 1, "memory": 1}.get(part, GROUP)
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [row for group in groups for row in measure(group, repeats, say)]


def machine():
    """What the numbers were measured on."""
    name = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return {"processor": name, "cores": os.cpu_count(), "system": platform.platform(), "device": devices()}


def table(found):
    """The rows as text."""
    head = f"{'':28}{'step, s':>10}{'first, s':>10}{'step, MB':>10}{'peak, MB':>10}"
    lines = [
        f"{row.name:28}{row.seconds:10.3f}{row.first_seconds:10.1f}{row.step_mb or 0:10.0f}{row.peak_mb:10.0f}"
        for row in found
    ]
    return "\n".join([head, *lines])


def summary(parts):
    """The ratios and exponents that the numbers are measured for, by name."""
    seconds = {row["name"]: row["seconds"] for rows in parts.values() for row in rows}
    memory = {row["name"]: row for row in parts.get("memory", ())}
    found = {}
    for suffix in ("", ", batch 128", ", batch 256"):
        if plan.OURS + suffix in seconds:
            found[f"step over floor{suffix}"] = seconds[plan.OURS + suffix] / seconds[plan.FLOOR + suffix]
    for row in parts.get("step", ()):
        if row["name"] not in (plan.OURS, plan.FLOOR, "one large product"):
            found[f"{row['name']} over kernl"] = row["seconds"] / seconds[plan.OURS]
        if row["settings"]["rule"] in ("floor", "peak"):
            found[f"GFLOP/s of the {row['name']}"] = row["loss"] / row["seconds"] / 1e9
    for axis in plan.SCALES if "scale" in parts else ():
        rows = [row for row in parts["scale"] if row["name"].startswith(axis)]
        found[f"exponent of the time in {axis}"] = exponent(rows, axis)
    if memory:
        growth = {name: memory[name]["step_mb"] for name in (f"{plan.OURS}, T 838", f"{plan.BPTT}, T 838")}
        found["memory of a step, kernl over BPTT, T 838"] = (
            growth[f"{plan.OURS}, T 838"] / growth[f"{plan.BPTT}, T 838"]
        )
        long, short = (memory[f"stream, T {838 * pieces}"]["peak_mb"] for pieces in (plan.PIECES, 1))
        found["peak memory of a stream, T 83,800 over T 838"] = long / short
    return found


def exponent(rows, axis):
    """The slope of log seconds over log size, by least squares."""
    sizes = np.log([row["settings"][axis] for row in rows])
    return float(np.polyfit(sizes, np.log([row["seconds"] for row in rows]), 1)[0])
