"""From a network of leaky integrate-and-fire units to a graph of the Neuromorphic Intermediate Representation."""

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from ..cells.lif import LIFCell
from ..cells.readout import ReadoutCell
from ..checks import number, one_of
from ..keras_version import keras
from ..layers.encoder import SpikeEncoder
from ..types import Discretization
from .chain import chain

if TYPE_CHECKING:
    import nir

MS = 1e-3  # NIR counts time in seconds
DISCRETIZATIONS = {  # name: (decay of a step, dt) -> tau, and what the importer makes of tau again
    "euler": lambda decay, dt: dt / (1.0 - decay),  # decay = 1 - dt / tau
    "exponential": lambda decay, dt: -dt / np.log(decay),  # decay = exp(-dt / tau)
}


def to_nir(model: keras.Model, discretization: Discretization = "euler", dt: float | None = None) -> "nir.NIRGraph":
    """A NIR graph of a trained network, for other simulators and for neuromorphic hardware.

    - W_in and bias, times R_m: `Linear` or `Affine`, `NAME_kernel`
    - hidden layer: a subgraph `NAME_units`: `input`, the units, `recurrent_kernel` (W_rec times R_m), `output`
    - units, hard reset: `lif`: `LIF` with r = 1
    - units, soft reset: `membrane`: `LI`; `threshold`: `Threshold`; and back `reset`: `Scale` by -a b0 / (1-a)
    - tau_s: `synapse`: `LI` with r = 1 / (1-d) before `recurrent_kernel`
    - readout's weights (W_out times the gain, and bias): `Linear` or `Affine`, `NAME_kernel`
    - readout's leak: `LI` with r = 1, or r = 1 / (1-d) with `gain=None`, `NAME_units`; none with `tau_out=None`

    NIR is of continuous time. Spikes are equal where the importer makes steps of dt, each in this order:

    - v(t) = d v(t-1) + (1-d) (v_leak + r I(t)), where d is 1 - dt/tau ("euler") or exp(-dt/tau) ("exponential");
    - z(t) = 1[v(t) > v_threshold], and v(t) is v_reset where z(t) = 1, in the same step;
    - an edge that closes a loop hands on the value of the step before, every other edge that of this step;

    and tau is such that d is our decay, to rounding, whatever `discretization` the cell itself has. Our units spike at
    V = b0, NIR's above: v_threshold is the largest number below b0. `metadata` holds dt and the discretization. The
    graph takes what an encoder in front sends, and gives the readout's v at every step.

    Args:
        model: a built chain of `SpikeEncoder` (or none); `RNN`, `Readout` or `keras.layers.RNN` over `LIFCell` and
            `ReadoutCell`, as many as there are; and `TimeAverage` (or none). The first and the last are left out.
        discretization: of the importer, "euler" or "exponential".
        dt: length of the importer's step in seconds; None for the cells' own, whose unit is ms.

    Returns:
        `nir.NIRGraph`; `nir.write(path, graph)` stores it.

    Raises:
        ImportError: without the package nir.
        ValueError: for what NIR 1.0 has no primitive for (adaptive thresholds, refractory times, resonators, rate
            units), for a model that is no such chain, and for cells of several dt.

    Example:
        >>> import kernl_keras as kk
        >>> from tensorflow import keras
        >>> inputs = keras.Input((7, 3))
        >>> hidden = kk.RNN(kk.LIFCell(4, tau_ref=0.0), name="hidden")(inputs)
        >>> model = keras.Model(inputs, kk.Readout(2, name="readout")(hidden))
        >>> graph = kk.to_nir(model)
        >>> sorted(graph.nodes)
        ['hidden_kernel', 'hidden_units', 'input', 'output', 'readout_kernel', 'readout_units']
        >>> sorted(graph.nodes["hidden_units"].nodes)
        ['input', 'lif', 'output', 'recurrent_kernel', 'synapse']

    Source: Pedersen, Abreu, Jobst et al., Neuromorphic intermediate representation, Nature Communications 15:8122
    (2024).
    """
    try:
        import nir
    except ImportError as error:
        raise ImportError("NIR graphs need the package nir: pip install nir.") from error
    one_of("discretization", discretization, DISCRETIZATIONS)
    layers = [layer for layer in chain(model) if not isinstance(layer, SpikeEncoder)]
    for layer in layers:
        _check_units(layer)
    steps = {layer.cell.dt for layer in layers}
    if len(steps) != 1:
        raise ValueError(f"model must have cells of one dt; received dt = {sorted(steps)} ms.")
    dt = steps.pop() * MS if dt is None else number("dt", dt, above=0.0)

    def tau(name, decay, units):
        """Of each unit in seconds, which the importer turns into `decay` again."""
        with np.errstate(divide="ignore"):
            seconds = DISCRETIZATIONS[discretization](np.full(units, decay, "float64"), dt)
        if not np.all(seconds > 0.0):
            raise ValueError(f"{name} must be > dt for discretization='exponential'; received a unit without memory.")
        return seconds

    nodes = {"input": nir.Input(np.array([layers[0].cell.kernel.shape[0]]))}
    for layer in layers:
        nodes_of = _hidden_nodes if isinstance(layer.cell, LIFCell) else _readout_nodes
        nodes |= nodes_of(nir, layer.name, layer.cell, tau)
    nodes["output"] = nir.Output(np.array([layers[-1].cell.units]))
    names = list(nodes)
    metadata = {"dt": dt, "discretization": discretization, "recurrent_delay": dt, "writer": "kernl_keras"}
    return nir.NIRGraph(nodes, list(zip(names, names[1:])), metadata=metadata)


def _check_units(layer):
    """Raises where NIR has no primitive for what the units of a layer do."""
    cell = layer.cell
    if isinstance(cell, ReadoutCell):
        return
    if not isinstance(cell, LIFCell):
        raise ValueError(
            "model must be made of LIFCell and ReadoutCell for NIR, which has primitives for leaky units, "
            f"spiking or not, none for resonators and rates; received {layer.name!r}, a {type(cell).__name__}."
        )
    if cell.adaptation_strength != 0.0 and np.any(cell.adaptation_strength):
        raise ValueError(
            "adaptation_strength must be 0 for NIR, whose primitives have thresholds that stand still; "
            f"received {cell.adaptation_strength!r}."
        )
    if cell.tau_ref >= cell.dt:
        raise ValueError(
            f"tau_ref must be less than dt = {cell.dt:g} ms for NIR, whose primitives have no refractory time; "
            f"received {cell.tau_ref!r}."
        )


def _hidden_nodes(nir, name, cell, tau):
    """Input weights, and the subgraph of the units with their recurrent weights."""
    p, units = cell.parameters(), cell.units
    decay, ones = _to_numpy(p.membrane_decay), np.ones(units)
    membrane = {"tau": tau("tau_m", decay, units), "r": ones, "v_leak": 0.0 * ones}  # R_m: Norse does not read r
    b0 = np.full(units, _to_numpy(cell.constant("base_threshold")), cell.compute_dtype)
    threshold = np.nextafter(b0, np.zeros_like(b0))  # the largest number below: what is above it is at least b0
    if cell.reset == "soft":  # without a primitive: what comes back a step later, times (1-a), is -a b0
        back = np.full(units, -decay * _to_numpy(p.base_threshold) / (1.0 - decay))
        inside = {"membrane": nir.LI(**membrane), "threshold": nir.Threshold(threshold), "reset": nir.Scale(back)}
        edges = [("membrane", "threshold"), ("threshold", "reset"), ("reset", "membrane")]
        first, spikes = "membrane", "threshold"
    else:
        reset = np.full(units, cell.reset_potential)
        inside, edges = {"lif": nir.LIF(**membrane, v_threshold=threshold, v_reset=reset)}, []
        first = spikes = "lif"
    loop = [spikes, "recurrent_kernel", first]
    if cell.tau_s is not None:
        inside["synapse"] = _leaky_sum(nir, "tau_s", _to_numpy(p.trace_decay), units, tau)
        loop.insert(1, "synapse")
    resistance = _to_numpy(1.0 / (1.0 - p.membrane_decay) if cell.resistance is None else cell.resistances())
    inside["recurrent_kernel"] = _weights(nir, cell.recurrent_weights(), None, resistance)
    nodes = {"input": nir.Input(np.array([units])), **inside, "output": nir.Output(np.array([units]))}
    edges = [("input", first), *edges, *zip(loop, loop[1:]), (spikes, "output")]  # Norse takes the last for the output
    kernel = _weights(nir, cell.kernel, cell.bias, resistance)
    return {f"{name}_kernel": kernel, f"{name}_units": nir.NIRGraph(nodes, edges)}


def _readout_nodes(nir, name, cell, tau):
    """Output weights, and the leak where there is one."""
    mean = cell.gain is not None
    nodes = {f"{name}_kernel": _weights(nir, cell.kernel * cell.gain if mean else cell.kernel, cell.bias)}
    if cell.tau_out is not None:
        nodes[f"{name}_units"] = _leaky_sum(nir, "tau_out", _to_numpy(cell.decay), cell.units, tau, mean)
    return nodes


def _leaky_sum(nir, name, decay, units, tau, mean=False):
    """v(t) = d v(t-1) + x(t) as an `LI`; d v(t-1) + (1-d) x(t) for a mean."""
    r = np.ones(units) if mean else 1.0 / (1.0 - np.full(units, decay, "float64"))
    return nir.LI(tau=tau(name, decay, units), r=r, v_leak=np.zeros(units))


def _weights(nir, kernel, bias, factor=1.0):
    """`Linear`, or `Affine` where there is a bias; NIR's weights are [out, in]."""
    kernel = _to_numpy(kernel)
    scaled = (factor * kernel).T.astype(kernel.dtype)
    if bias is None:
        return nir.Linear(scaled)
    return nir.Affine(scaled, (factor * _to_numpy(bias)).astype(kernel.dtype))


def _to_numpy(value):
    """A number, a tensor or a variable as an array; of a number all digits."""
    return np.asarray(value if isinstance(value, Real) else tf.convert_to_tensor(value))
