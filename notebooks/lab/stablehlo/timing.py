"""Runs the modules that `python -m notebooks.lab.stablehlo` wrote: checks their outputs, and times them.

    python timing.py modules/*.stablehlo --output timing.json

This file stands alone. It needs Python, NumPy and JAX, and the `.npz` beside each module. It runs on the device that
JAX finds first; JAX_PLATFORMS=cpu chooses the CPU. A GPU multiplies in TF32 by itself, with three digits;
NVIDIA_TF32_OVERRIDE=0 forbids it.
"""

import argparse
import json
import pathlib
import platform
import shlex
import statistics
import sys
import time

import numpy as np


def load(path):
    """`(code, inputs, outputs, names, feeds, record)` of a module, see `Module` in `__main__.py`."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
        inputs = [file[f"input_{number}"] for number in range(len(file["names"]))]
        outputs = [file[f"output_{number}"] for number in range(len(file["feeds"]))]
        names, feeds, record = file["names"].tolist(), file["feeds"].tolist(), json.loads(str(file["record"]))
    return path.read_bytes(), inputs, outputs, names, feeds, record


def difference(found, expected, before=None):
    """How far an output lies from TensorFlow's, relative to how far the step moved it; 0 where they are equal.

    `before` is what the step was given; None for the loss, whose own size counts.

    >>> round(difference(np.array([1.0, 2.1]), np.array([1.0, 2.0]), np.array([1.0, 1.0])), 6)
    0.1
    >>> difference(np.array(3), np.array(4), np.array(3))
    1.0
    """
    found, expected = (np.asarray(array, np.float64) for array in (found, expected))
    far = np.linalg.norm(found - expected)
    moved = np.linalg.norm(expected - (0.0 if before is None else np.asarray(before, np.float64)))
    return 0.0 if far == 0.0 else float(far / moved) if moved and np.isfinite(far) else float("inf")


def plain(number):
    """A number for JSON, which knows no infinity and no NaN: None in their place."""
    return number if np.isfinite(number) else None


def compile_module(code, device):
    """A function that runs a module: list of arrays on the device -> list of arrays, and its scratch memory in bytes.

    What the module may write over is given away: an input that an output takes the place of is gone afterwards.
    """
    from jax._src.lib import xla_client  # no public way takes a module that JAX has not made

    executable = device.client.compile_and_load(code, xla_client.DeviceList((device,)), xla_client.CompileOptions())
    return executable.execute, executable.get_compiled_memory_stats().temp_size_in_bytes


def measure(path, device, repeats, warm_up, tolerance):
    """What came of a module, a dict."""
    import jax

    code, inputs, expected, names, feeds, record = load(path)
    start = time.perf_counter()
    execute, scratch = compile_module(code, device)
    compile_seconds = time.perf_counter() - start
    arrays = [jax.device_put(array, device) for array in inputs]
    seconds, differences, losses = [], {}, []
    for turn in range(1 + warm_up + repeats):
        start = time.perf_counter()
        outputs = jax.block_until_ready(execute(arrays))
        seconds.append(time.perf_counter() - start)
        losses.append(float(outputs[0]))  # the mean of all steps so far
        if turn == 0:
            for found, wanted, feed in zip(outputs, expected, feeds):
                before = None if feed < 0 else inputs[feed]
                differences["loss" if feed < 0 else names[feed]] = difference(found, wanted, before)
        for output, feed in zip(outputs, feeds):
            if feed >= 0:
                arrays[feed] = output  # the next step goes on from here
    timed = seconds[1 + warm_up :]
    largest = max(differences, key=differences.get)
    return {
        "module": path.name,
        **record,
        "seconds": statistics.median(timed),
        "every": timed,
        "compile_seconds": compile_seconds,
        "first_seconds": seconds[0],
        "scratch_mb": scratch / 1e6,
        "agrees": differences[largest] <= tolerance,
        "largest_difference": plain(differences[largest]),
        "of": largest,
        "differences": {name: plain(value) for name, value in differences.items()},
        "mean_losses": [plain(loss) for loss in losses],
    }


def main(arguments=None):
    """The command; returns the exit status: 1 where a module failed, or its outputs are not TensorFlow's."""
    parser = argparse.ArgumentParser(prog="timing.py", description=__doc__.splitlines()[0])
    parser.add_argument("modules", type=pathlib.Path, nargs="+", metavar="MODULE", help="files that end in .stablehlo")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="steps that are timed, 10 if not given")
    parser.add_argument("--warm-up", type=int, default=2, metavar="N", help="steps before them, 2 if not given")
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, metavar="X", help="largest difference of an output, 1e-3 if not given"
    )
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("timing.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    if mistake := mistake_of(options):
        parser.error(mistake)

    import jax
    import jaxlib

    jax.config.update("jax_enable_x64", True)  # counters of 64 bits stay so
    device = jax.devices()[0]
    packages = {each.__name__: each.__version__ for each in (jax, jaxlib, np)}
    results = {
        "device": device.device_kind,
        "platform": device.platform,
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **packages},
        "repeats": options.repeats,
        "tolerance": options.tolerance,
        "command": shlex.join(["python", "timing.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "modules": [],
    }
    failed = False
    print(f"{'':24}{'step, s':>10}{'compile, s':>12}{'scratch, MB':>13}{'difference':>12}")
    for path in options.modules:
        try:
            row = measure(path, device, options.repeats, options.warm_up, options.tolerance)
            failed = failed or not row["agrees"]
            numbers = f"{row['seconds']:10.4f}{row['compile_seconds']:12.1f}{row['scratch_mb']:13.1f}"
            far = row["largest_difference"]
            print(f"{path.stem:24}{numbers}{float('inf') if far is None else far:12.1e}  {row['of']}", flush=True)
        except Exception as error:  # a large batch may not fit; the others count all the same
            row = {"module": path.name, "error": f"{type(error).__name__}: {error}"}
            failed = True
            print(f"{path.stem:24}{row['error'].splitlines()[0]}", flush=True)
        results["modules"].append(row)
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"Results    {options.output}")
    return int(failed)


def mistake_of(options):
    """What is wrong with an option; None where all can be."""
    if options.repeats < 1 or options.warm_up < 0:
        return f"--repeats must be >= 1 and --warm-up >= 0; received {options.repeats} and {options.warm_up}."
    for path in options.modules:
        if not path.is_file() or not path.with_suffix(".npz").is_file():
            return f"{path} must be a module, with its .npz beside it."
    if options.output.exists():
        return f"{options.output} already exists: name another --output."
    if not options.output.parent.is_dir():
        return f"{options.output.parent} is no directory: make it, or name another --output."
    return None


if __name__ == "__main__":
    sys.exit(main())
