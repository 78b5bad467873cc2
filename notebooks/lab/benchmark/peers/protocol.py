"""What a worker of the benchmark and the process that times it say to each other: a JSON object a line.

A worker is a script that is run as a file, by the Python of the package it times, with its settings as one JSON object:

    {"batch": 25, "steps": 838, "inputs": 81, "units": 200, "outputs": 10, "threads": 2, "rule": "bptt"}

It answers with its first two steps, the first of which compiles what is to be compiled, then with a step for each line
"step" it reads, and with the peak of its memory at "quit". A worker that fails says {"error": ...} and exits with 1;
one that ends without an answer could not import its package, and has said so on stderr.

Nothing but the standard library is imported here: a worker shares no package with the others.
"""

import importlib.metadata
import json
import os
import sys
import time
import traceback


def settings():
    """The settings of this worker, as a dict."""
    return json.loads(sys.argv[1])


def few_cpus():
    """Leaves this process as many CPUs as it is to have threads, for a package that starts one for each CPU."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings()["threads"]])


def versions(*packages):
    """`{package: version}` of those that decide what is measured."""
    return {name: importlib.metadata.version(name) for name in packages}


def serve(build):
    """Runs a worker to its end, by a function `build`: settings -> (step, versions).

    `step()` trains for one step, waits for its end and returns the loss; an attribute `averages` says of how many
    steps, if of several. `versions` names the packages that decide its time. `build` is called after the packages were
    imported, so that `idle_mb` is their share of the memory.
    """
    answering(lambda say: _serve(build, say))


def answering(run):
    """Calls `run(say)`, whose `say(**answer)` writes an answer; an exception is the last of them.

    What the packages print must not come between the answers: it goes where errors go.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        run(say)
    except Exception as error:
        traceback.print_exc()
        say(error=f"{type(error).__name__}: {error}")
        sys.exit(1)


def _serve(build, say):
    idle = memory_mb()
    step, versions = build(settings())
    first, _ = _timed(step, whole=True)
    second, loss = _timed(step)
    say(first_seconds=first, second_seconds=second, idle_mb=idle, versions=versions, loss=loss)
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            break
        if command != "step":
            raise ValueError(f'a worker reads "step" or "quit"; received {command!r}.')
        seconds, loss = _timed(step)
        say(seconds=seconds, loss=loss)
    say(peak_mb=peak_memory_mb())


def _timed(step, whole=False):
    start = time.perf_counter()
    loss = float(step())
    return (time.perf_counter() - start) / (1 if whole else getattr(step, "averages", 1)), loss


def memory_mb():
    """The memory this process holds now, in units of 10^6 bytes; its peak where the system does not say."""
    try:
        return _status_mb("VmRSS")
    except OSError:
        return peak_memory_mb()


def peak_memory_mb():
    """The most memory this process has held, in units of 10^6 bytes.

    Linux counts what the parent held into `ru_maxrss` of a child, but not into the high-water mark of its own memory.
    """
    try:
        return _status_mb("VmHWM")
    except OSError:
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _status_mb(name):
    with open("/proc/self/status", encoding="utf-8") as lines:
        (kib,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kib) * 1024 / 1e6
