"""The other packages that the benchmark times, each in a virtual environment of its own: their pins do not agree."""

import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

SCRIPTS = pathlib.Path(__file__).parent / "peers"
MARKER = "requirements.txt"  # in an environment, written last: what it was built from


class Peer(NamedTuple):
    """Another package: the script that trains the network in it, the rules it trains by, what pip is to install."""

    script: pathlib.Path
    rules: tuple
    requirements: tuple


# The packages' own versions are pinned, what they stand on is held to the series that the scripts were tried with.
PEERS = {
    "snntorch": Peer(SCRIPTS / "snntorch_bptt.py", ("bptt",), ("snntorch==1.0.0", "torch>=2.6,<3", "numpy<3")),
    "spikingjelly": Peer(
        SCRIPTS / "spikingjelly_bptt.py", ("bptt",), ("spikingjelly==2.0.0", "torch>=2.6,<3", "numpy<3")
    ),
    "norse": Peer(SCRIPTS / "norse_bptt.py", ("bptt",), ("norse==1.1.0", "torch>=2.6,<3", "numpy<3")),
    "braintrace": Peer(
        SCRIPTS / "braintrace_online.py",
        ("pp_prop", "EProp", "D_RTRL"),
        ("braintrace==0.2.6", "brainstate>=0.5.2,<0.6", "jax[cpu]>=0.8,<0.11", "numpy<3"),
    ),
}


def environment(name, folder):
    """The Python of a peer's virtual environment, `folder/name`, which is built where it is not there yet.

    An environment that is half built, or was built from other requirements, is built anew. pip heeds its own
    settings: with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu it need not fetch PyTorch for GPUs.

    Raises:
        RuntimeError: where the environment cannot be made, with what pip said.
    """
    path = pathlib.Path(folder).absolute() / name
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    marker, wanted = path / MARKER, "".join(f"{line}\n" for line in PEERS[name].requirements)
    if not (python.exists() and marker.is_file() and marker.read_text(encoding="utf-8") == wanted):
        _run(name, sys.executable, "-m", "venv", "--clear", path)  # --clear takes an old marker away
        _run(name, python, "-m", "pip", "install", "--disable-pip-version-check", *PEERS[name].requirements)
        marker.write_text(wanted, encoding="utf-8")
    return python


def _run(name, *command):
    """Runs a command silently; where it fails, what it said is in the error."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode:
        raise RuntimeError(f"no environment for peer {name}: {' '.join(map(str, command))} failed.\n{done.stdout}")
