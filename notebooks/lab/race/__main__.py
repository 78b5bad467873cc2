"""Accuracy against seconds: the same digits on the same cores, for each rule here and for other packages.

    python -m notebooks.lab.race --output notebooks/results/race.json

All have the same number of units, the same input spikes and the same optimizer, and each the units of its package: here
the resonators of the experiment `smnist`, there leaky units with time constants of 20 to 400 ms. So it compares what
the packages come to, and not the rules alone; and nobody has looked for the best settings of the others. Seconds are
those of building, compiling and training; the accuracy is that on the 500 validation digits. One runs after the other.
"""

import pathlib
import sys

from kernl_keras import cli
from kernl_keras.experiments.experiment import MAX_SEED
from kernl_keras.experiments.files import UserError, write_json
from kernl_keras.experiments.provenance import cores

from ..benchmark.run import machine
from ..options import check_file, make_parser, provenance
from .rows import ROWS, digits, run_row


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("race", __doc__, run)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seconds", type=float, default=300.0, metavar="X", help="of training, 300 if not given")
    parser.add_argument("--units", type=int, default=200, metavar="N", help="hidden units, 200 if not given")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, noise and order of the digits")
    parser.add_argument("--threads", type=int, default=cores(), metavar="N", help="one a core if not given")
    parser.add_argument(
        "--peers-dir", default="~/.cache/kernl_keras/peers", metavar="DIR", help="where their environments are built"
    )
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("race.json"), metavar="FILE")
    return cli.run_command(parser, arguments)


def run(options, command):
    """A results file, written anew after each row."""
    path = check_file(options.output)
    for name in ("units", "threads"):
        cli.at_least_one(f"--{name}", getattr(options, name))
    if not options.seconds > 0.0:
        raise UserError(f"--seconds must be > 0; received {options.seconds}.")
    if not 0 <= options.seed <= MAX_SEED:
        raise UserError(f"--seed must be from 0 to {MAX_SEED}; received {options.seed}.")
    settings = {name: getattr(options, name) for name in ("seconds", "units", "seed", "threads")}
    race(path, options.only, settings, pathlib.Path(options.peers_dir).expanduser(), command)
    print(f"Results    {path}")


def race(path, names, settings, peers_folder, command="", say=print):
    """Runs the rows one after the other; returns what the results file holds.

    Raises:
        UserError: where rows failed, after all others have run.
    """
    results = {
        "machine": machine(),
        **settings,
        **provenance(command),
        "rows": {},
    }
    data, failed = digits(), []
    for name in names:
        try:
            found = run_row(ROWS[name], settings, data, peers_folder)
        except RuntimeError as error:
            failed.append(str(error))
            say(f"{ROWS[name].label:40} failed")
            continue
        results["rows"][name] = found
        write_json(path, results)
        points = [f"{point['accuracy']:.3f} at {point['seconds']:.0f} s" for point in found["points"]]
        say(f"{found['label']:40} {', '.join(points)}")
    if failed:
        raise UserError("\n".join(failed))
    return results


if __name__ == "__main__":
    sys.exit(main())
