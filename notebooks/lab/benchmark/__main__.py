"""Times the training step of the reference network: rules, windows, other packages.

python -m notebooks.lab.benchmark --peers
"""

import sys

from kernl_keras.experiments.files import as_user_error, write_json
from kernl_keras.experiments.provenance import cores

from ..options import Command, machine
from . import plan
from .environments import FOLDER
from .workers import measure


def run(options, about):
    """Measures the parts one after the other, and prints their rows; the results file is written anew after each."""
    threads, parts = options.threads or cores(), {}
    for part in options.only:
        print(f"{part}:")
        with as_user_error(RuntimeError):
            rows = plan.PARTS[part](threads)
            if part == "step" and options.peers:
                rows += plan.peer_rows(threads, options.peers_dir)
            found = measure(rows, options.repeats)
        print(f"{'':32}{'step, s':>10}{'first, s':>10}{'peak, MB':>10}")
        for row in found:
            print(f"{row.name:32}{row.seconds:10.3f}{row.first_seconds:10.1f}{row.peak_mb:10.0f}")
        parts[part] = [row._asdict() for row in found]
        settings = {"machine": machine(), "threads": threads, "repeats": options.repeats}
        write_json(options.output, {**settings, **about, "parts": parts})


main = Command("benchmark", __doc__, run)
main.option("--only", nargs="+", choices=plan.PARTS, default=plan.PARTS, metavar="PART", help=", ".join(plan.PARTS))
main.option("--peers", action="store_true", help="snnTorch, SpikingJelly, Norse and BrainTrace as well")
main.option("--peers-dir", default=FOLDER, metavar="DIR", help="where their environments are built")
main.count("--repeats", 5, "steps that are timed")
main.count("--threads", help="of our rows, one a core if not given")
main.results("benchmark.json")

if __name__ == "__main__":
    sys.exit(main())
