"""The other packages that the benchmark times, each in a virtual environment of its own: their pins do not agree."""

import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

SCRIPTS = pathlib.Path(__file__).parent / "peers"
FOLDER = "~/.cache/kernl_keras/peers"  # where the environments are built if no other is named
MARKER = "requirements.txt"  # in an environment, written last: what it was built from


class Peer(NamedTuple):
    """Another package, as tables name it: what trains the network in it, by which rules, and what pip is to install."""

    name: str
    script: pathlib.Path
    rules: tuple
    requirements: tuple


# The packages' own versions are pinned, what they stand on is held to the series that the scripts were tried with.
BPTT, TORCH = ("bptt",), ("torch>=2.6,<3", "numpy<3")
ONLINE, JAX = ("pp_prop", "EProp", "D_RTRL"), ("brainstate>=0.5.2,<0.6", "jax[cpu]>=0.8,<0.11", "numpy<3")
PEERS = {
    "snntorch": Peer("snnTorch", SCRIPTS / "snntorch_bptt.py", BPTT, ("snntorch==1.0.0", *TORCH)),
    "spikingjelly": Peer("SpikingJelly", SCRIPTS / "spikingjelly_bptt.py", BPTT, ("spikingjelly==2.0.0", *TORCH)),
    "norse": Peer("Norse", SCRIPTS / "norse_bptt.py", BPTT, ("norse==1.1.0", *TORCH)),
    "braintrace": Peer("BrainTrace", SCRIPTS / "braintrace_online.py", ONLINE, ("braintrace==0.2.6", *JAX)),
}


def environment(name, folder):
    """The Python of a peer's virtual environment, `folder/name`, which is built where it is not there yet.

    One that is half built, or was built from other requirements, is built anew. pip heeds its own settings: with
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu it need not fetch PyTorch for GPUs. Where it fails, a
    `RuntimeError` has what it said.
    """
    path = pathlib.Path(folder).expanduser().absolute() / name
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
