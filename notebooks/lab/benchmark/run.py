"""Measures, prints tables, writes a results file and draws it."""

import platform

from kernl_keras.experiments.files import write_json
from kernl_keras.experiments.provenance import cores, devices, processor

from ..options import provenance
from . import plan
from .plot import draw
from .summary import summarize
from .workers import measure

PARTS = ("step", "windows", "batch", "rules", "scale", "memory")
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
    threads = threads or cores()
    results = {
        "machine": machine(),
        "threads": threads,
        "repeats": repeats,
        **provenance(command),
        "parts": {},
    }
    for part in parts:
        say(f"{part}:")
        found = run_part(part, threads, repeats, peers_folder, say)
        say(table(found))
        results["parts"][part] = [row._asdict() for row in found]
        results["summary"] = summarize(results["parts"])
        write_json(path, results)
    for line, value in results["summary"].items():
        say(f"{line:68} {value:8.3g}")
    if not draw(results, path.with_suffix(".png")):
        say("No plot: it needs matplotlib, which `pip install kernl-keras[notebooks]` brings.")
    return results


def run_part(part, threads, repeats, peers_folder, say):
    """The list of `Measured` of a part."""
    if part == "step":
        peers = () if peers_folder is None else tuple(plan.build_peers(peers_folder, say))
        return measure(plan.step_rows(threads, peers), repeats, say)  # all side by side
    rows = {
        "windows": plan.window_rows,
        "batch": plan.batch_rows,
        "rules": plan.rule_rows,
        "scale": plan.scale_rows,
        "memory": plan.memory_rows,
    }[part](threads)
    size = {"windows": len(rows), "batch": 2, "scale": 1, "memory": 1}.get(part, GROUP)
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [row for group in groups for row in measure(group, repeats, say)]


def machine():
    """What the numbers were measured on."""
    return {"processor": processor(), "cores": cores(), "system": platform.platform(), "device": devices()}


def table(found):
    """The rows as text."""
    head = f"{'':32}{'step, s':>10}{'first, s':>10}{'peak, MB':>10}"
    lines = [f"{row.name:32}{row.seconds:10.3f}{row.first_seconds:10.1f}{row.peak_mb:10.0f}" for row in found]
    return "\n".join([head, *lines])
