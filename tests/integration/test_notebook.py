"""The notebooks run from top to bottom, small, and the committed ones hold their outputs and pictures."""

import inspect
import os
import pathlib
import re

import pytest

import kernl_keras as kk
from kernl_keras import naive
from kernl_keras.cells.linear import LinearStep
from kernl_keras.rules.backward import Backward
from kernl_keras.rules.hop import TracedHop

ROOT = pathlib.Path(__file__).parents[2]
PICTURES = {"guide": 4, "kernl_keras": 9, "learning": 8, "proof": 1, "speech": 3, "stream": 2}  # notebook: how many

nbformat = pytest.importorskip("nbformat", reason="reading the notebook needs nbformat")


def path(name):
    return ROOT / "notebooks" / f"{name}.ipynb"


def read(name):
    return nbformat.read(path(name), as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::(nbclient|jupyter_client|zmq|asyncio|tornado)")  # other people's
@pytest.mark.parametrize("name", PICTURES)
def test_every_cell_runs(name, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="running the notebook needs nbclient")
    for package in ("matplotlib", "ipykernel"):
        pytest.importorskip(package, reason=f"the notebook's kernel needs {package}")
    if name in ("speech", "stream"):
        pytest.importorskip("ai_edge_litert.interpreter", reason="the notebook's device needs ai-edge-litert")
    if name == "speech" and "KERNL_KERAS_DATA_DIR" not in os.environ:
        pytest.skip("KERNL_KERAS_DATA_DIR is not set: it names a folder of TensorFlow Datasets with spoken_digit")
    monkeypatch.setenv("KERNL_KERAS_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # whatever the shell says
    places = [str(ROOT), str(ROOT / "notebooks"), os.environ.get("PYTHONPATH")]  # a user's kernel runs in `notebooks`
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    notebook = read(name)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    resources = {"metadata": {"path": str(tmp_path)}}  # the kernel's working directory
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert len(pictures(notebook)) == PICTURES[name]


@pytest.mark.parametrize("name", PICTURES)
def test_the_committed_notebook_holds_its_outputs_and_names_no_machine(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # one run, from top to bottom
    assert len(pictures(notebook)) == PICTURES[name]
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert notebook.metadata.kernelspec.name == "python3"
    assert path(name).stat().st_size < 1.5e6
    assert not re.search(r"(?:/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\)[A-Za-z]", path(name).read_text("utf-8"))


def test_the_notebook_states_each_equation_once():
    numbers = [int(n) for cell in read("kernl_keras").cells for n in re.findall(r"\\tag\{(\d+)\}", cell.source)]
    assert numbers == [*range(1, 10), *range(16, 23)]


def test_the_proof_prints_the_code_of_today():
    printed = "".join(output.text for output in outputs(read("proof")) if output.output_type == "stream")
    parts = naive.traces_gradient, naive.exponential_hop, LinearStep.back, TracedHop.before
    parts += kk.rules.KeRNL.backward_step, Backward.__call__
    assert not [part for part in parts if inspect.getsource(part) not in printed]
