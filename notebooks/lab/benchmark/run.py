"""Measures, prints tables and writes a results file."""

import platform

from kernl_keras.experiments.files import write_json
from kernl_keras.experiments.provenance import cores, devices, processor

from ..options import provenance
from . import plan
from .workers import measure

PARTS = ("step", "windows", "layer")


def benchmark(path, parts=PARTS, peers_folder=None, threads=None, repeats=5, command="", say=print):
    """Measures the parts one after the other; after each the results file is written anew.

    The environments of the peers lie in `peers_folder`, or are built there; None leaves the peers out. All cores are
    used where `threads` is None, and of the steps of a row the median counts.
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
        write_json(path, results)
    return results


def run_part(part, threads, repeats, peers_folder, say):
    """The list of `Measured` of a part, whose rows run side by side."""
    if part != "step":
        rows = plan.window_rows if part == "windows" else plan.layer_rows
        return measure(rows(threads), repeats, say)
    peers = () if peers_folder is None else tuple(plan.build_peers(peers_folder, say))
    return measure(plan.step_rows(threads, peers), repeats, say)


def machine():
    """What the numbers were measured on."""
    return {"processor": processor(), "cores": cores(), "system": platform.platform(), "device": devices()}


def table(found):
    """The rows as text."""
    head = f"{'':32}{'step, s':>10}{'first, s':>10}{'peak, MB':>10}"
    lines = [f"{row.name:32}{row.seconds:10.3f}{row.first_seconds:10.1f}{row.peak_mb:10.0f}" for row in found]
    return "\n".join([head, *lines])
