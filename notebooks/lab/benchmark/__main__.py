"""Times the training step of the reference network: rules, windows, other packages.

python -m notebooks.lab.benchmark --peers
"""

import pathlib
import sys

from kernl_keras import cli
from kernl_keras.experiments.files import UserError

from ..options import check_file, make_parser
from .run import PARTS, benchmark


def main(arguments=None):
    """The command; returns the exit status."""
    parser = make_parser("benchmark", __doc__, run)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--peers", action="store_true", help="snnTorch, SpikingJelly, Norse and BrainTrace as well")
    parser.add_argument(
        "--peers-dir", default="~/.cache/kernl_keras/peers", metavar="DIR", help="where their environments are built"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="steps that are timed, 5 if not given")
    parser.add_argument("--threads", type=int, metavar="N", help="of our rows, one a core if not given")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmark.json"), metavar="FILE")
    return cli.run_command(parser, arguments)


def run(options, command):
    """Tables and a results file."""
    path = check_file(options.output)
    for name in ("repeats", "threads"):
        if (value := getattr(options, name)) is not None:
            cli.at_least_one(f"--{name}", value)
    folder = pathlib.Path(options.peers_dir).expanduser() if options.peers else None
    try:
        benchmark(path, options.only, folder, options.threads, options.repeats, command)
    except RuntimeError as error:
        raise UserError(str(error)) from error
    print(f"Results    {path}")


if __name__ == "__main__":
    sys.exit(main())
