"""The reference network in Norse, trained by backpropagation through time."""

import importlib.metadata

import norse.torch as norse
import task
import torch
from torch_training import linear, run

STEP = 1e-3  # s, the default of every module of Norse


def detached_reset(z, v, reset, th):
    """`norse.torch.functional.reset.reset_value`, without a gradient through the spike."""
    return (1.0 - z.detach()) * v + z.detach() * reset


class Network(torch.nn.Module):
    """A `LIFBoxCell` with a linear layer back to itself, and a `LIBoxCell` for the readout.

    A cell hands its state on from step to step, as in "Working with Norse" of its documentation. What does not
    wait for the spikes is done for all steps at once. `LIFRecurrent`, which holds neurons, recurrence and loop in one,
    multiplies the input of each step for itself and filters its currents, which the reference network does not: it
    takes about a tenth longer. Surrogate gradient: SuperSpike, the default; with slow membranes, through which its
    gradient explodes, tanh, and the gradient does not follow the reset.
    """

    def __init__(self, settings):
        super().__init__()
        inward, back, outward = task.weights(settings)
        rate = 1e3 / torch.as_tensor(task.tau_m(settings))  # per second
        self.gain = torch.as_tensor(task.drive(settings)) / (STEP * rate)  # a membrane takes STEP * rate of a current
        self.input, self.recurrent, self.output = linear(inward), linear(back), linear(outward)
        parameters = norse.LIFBoxParameters(tau_mem_inv=rate, v_th=torch.as_tensor(task.THRESHOLD))
        if "slowest" in settings:
            parameters = parameters._replace(method="tanh", alpha=torch.as_tensor(10.0), reset_method=detached_reset)
        self.hidden = norse.LIFBoxCell(parameters, dt=STEP)
        self.readout = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=torch.as_tensor(1e3 / task.TAU_OUT)), dt=STEP)

    def forward(self, x):
        """Input spikes [T, B, I] -> spikes [T, B, H] and readouts [T, B, O]."""
        currents = self.gain * self.input(x)
        back = (self.gain[..., None] * self.recurrent.weight).T
        spikes, state = torch.zeros_like(currents[0]), None
        recorded = []
        for current in currents:
            spikes, state = self.hidden(current + spikes @ back, state)
            recorded.append(spikes)
        recorded, state = torch.stack(recorded), None
        readouts = []
        for current in self.output(recorded):
            readout, state = self.readout(current, state)
            readouts.append(readout)
        return recorded, torch.stack(readouts)


if __name__ == "__main__":
    run(Network, norse=importlib.metadata.version("norse"))
