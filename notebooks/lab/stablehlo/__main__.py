"""Writes the training step of the reference network as StableHLO modules, for `timing.py` to run under JAX's XLA.

    python -m notebooks.lab.stablehlo --output modules

Of each rule and batch there are two files: `RULE-BATCH.stablehlo`, the module, and `RULE-BATCH.npz`, what it is given
and what TensorFlow made of it. `timing.py` needs these files, NumPy and JAX, and nothing else of this checkout.
"""

import pathlib
import sys

from kernl_keras import cli
from kernl_keras.experiments.files import explained

from ..benchmark.plan import REFERENCE, RULES
from ..options import check_file, make_parser, provenance
from .export import export, write

DEFAULT_RULES = ("kernl", "eprop", "bptt")
BATCHES = (25, 64, 128, 256, 512, 1024)


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("stablehlo", __doc__, run)
    parser.add_argument(
        "--rules", nargs="+", choices=RULES, default=DEFAULT_RULES, metavar="RULE", help=", ".join(RULES)
    )
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, metavar="N", help=f"{BATCHES} if not given")
    for name in ("steps", "units"):
        size = REFERENCE[name]
        parser.add_argument(f"--{name}", type=int, default=size, metavar="N", help=f"{size} if not given")
    parser.add_argument("--threads", type=int, default=cli.THREADS, metavar="N", help="of TensorFlow's operations")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="DIR", help="a new directory")
    return cli.run_command(parser, arguments)


def run(options, command):
    """The files of all rules and batches."""
    for name in ("steps", "units", "threads"):
        cli.at_least_one(f"--{name}", getattr(options, name))
    for batch in options.batches:
        cli.at_least_one("--batches", batch)
    folder = check_file(options.output)
    cli.set_threads(options.threads)
    record = provenance(command)
    sizes = {**REFERENCE, "steps": options.steps, "units": options.units, "threads": options.threads}
    with explained(f"{folder} cannot be made", "Name another --output."):
        folder.mkdir()
    for rule in options.rules:
        word, of_rule = RULES[rule]
        for batch in options.batches:
            settings = {**sizes, "batch": batch, "rule": word, "rule_settings": of_rule}
            path = folder / f"{rule.replace(' ', '-')}-{batch}"
            write(path, export(settings), {"rule": rule, "settings": settings, **record})
            print(f"Module     {path}.stablehlo", flush=True)


if __name__ == "__main__":
    sys.exit(main())
