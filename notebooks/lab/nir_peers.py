"""Runs a NIR graph in another simulator, by the Python of its environment: nothing of kernl_keras, no TensorFlow.

    python nir_peers.py IMPORTER FOLDER

reads FOLDER/graph.nir and FOLDER/inputs.npy [B, T, I] and writes FOLDER/outputs.npy [B, T, n]; the versions of what was
used go to standard output, as JSON.
"""

import contextlib
import importlib.metadata
import json
import logging
import pathlib
import sys

import numpy as np  # the others where they are used: pytest imports every file, and has them not


def norse(graph):
    """Norse's own import, which takes a step of 1 ms."""
    from norse.torch import from_nir

    return from_nir(graph, dt=graph.metadata["dt"])


def snntorch(graph):
    """snnTorch's own import, which knows steps of 0.1 ms and no others."""
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def norse_neurons(graph):
    """What Norse's import leaves out, the leaky integrator above all, mapped to Norse's neurons by nirtorch."""
    import nir
    import nirtorch
    import torch
    from norse.torch.module.leaky_integrator_box import LIBoxCell, LIBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell, LIFBoxParameters

    dt = graph.metadata["dt"]

    def tensor(array):
        return torch.as_tensor(np.asarray(array, "float32"))

    class LI(torch.nn.Module):
        """`LIBoxCell` has no r."""

        def __init__(self, node):
            super().__init__()
            self.r = tensor(node.r)
            self.cell = LIBoxCell(LIBoxParameters(1.0 / tensor(node.tau), tensor(node.v_leak)), dt=dt)

        def forward(self, x, state=None):
            return self.cell(self.r * x, state)

    class Map(torch.nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    def lif(node):
        constants = (tensor(each) for each in (node.v_leak, node.v_threshold, node.v_reset))
        return LIFBoxCell(LIFBoxParameters(1.0 / tensor(node.tau), *constants), dt=dt)

    def linear(node):
        module = torch.nn.Linear(*node.weight.shape[::-1], bias=hasattr(node, "bias"))
        module.weight.data = tensor(node.weight)
        if hasattr(node, "bias"):
            module.bias.data = tensor(node.bias)
        return module

    nodes = {
        nir.Linear: linear,
        nir.Affine: linear,
        nir.LIF: lif,
        nir.LI: LI,
        nir.Scale: lambda node: Map(lambda x: tensor(node.scale) * x),
        nir.Threshold: lambda node: Map(lambda x: torch.gt(x, tensor(node.threshold)).float()),
    }
    return nirtorch.nir_to_torch(graph, nodes)


IMPORTERS = {
    "norse": (norse, ("norse", "nirtorch", "nir", "torch")),
    "snntorch": (snntorch, ("snntorch", "nirtorch", "nir", "torch")),
    "norse neurons": (norse_neurons, ("norse", "nirtorch", "nir", "torch")),
}


def main(importer, folder):
    """Runs the graph step by step, every step with the state of the one before."""
    import nir
    import torch

    logging.disable(logging.WARNING)  # nirtorch's, on graphs of one input
    torch.set_num_threads(1)
    folder, (load, packages) = pathlib.Path(folder), IMPORTERS[importer]
    inputs = torch.as_tensor(np.load(folder / "inputs.npy", allow_pickle=False))
    with contextlib.redirect_stdout(sys.stderr):  # snnTorch prints
        network, state, outputs = load(nir.read(folder / "graph.nir")), None, []
        with torch.no_grad():
            for x in inputs.unbind(1):
                output, state = network(x, state)
                outputs.append(output)
    np.save(folder / "outputs.npy", torch.stack(outputs, 1).numpy())
    print(json.dumps({name: importlib.metadata.version(name) for name in packages}))


if __name__ == "__main__":
    main(*sys.argv[1:])
