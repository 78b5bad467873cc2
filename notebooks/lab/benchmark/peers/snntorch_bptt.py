"""The reference network in snnTorch, trained by backpropagation through time."""

import math

import snntorch as snn
import task
import torch
from snntorch import surrogate
from torch_training import linear, run


class Network(torch.nn.Module):
    """A layer of `Leaky` neurons with a linear layer back to itself, and a `Leaky` readout that does not reset.

    The loop over the steps is that of snnTorch's tutorial 5 (Training Spiking Neural Networks with snntorch). What
    does not wait for the spikes is done for all steps at once. `RLeaky`, which holds neurons and recurrence in one,
    computes the recurrence twice a step where it resets to zero, so it takes nearly twice the time; `StateLeaky`, the
    readout without a loop, is slower than the loop over so many steps. Surrogate gradient: ATan, the default; with slow
    membranes, through which its gradient explodes, the fast sigmoid of the tutorial.
    """

    def __init__(self, settings):
        super().__init__()
        inward, back, outward = task.weights(settings)
        self.input, self.recurrent = linear(inward), linear(back)
        self.drive = torch.as_tensor(task.drive(settings))
        self.hidden = snn.Leaky(
            beta=torch.exp(-1.0 / torch.as_tensor(task.tau_m(settings))),
            threshold=task.THRESHOLD,
            spike_grad=surrogate.fast_sigmoid(slope=25) if "slowest" in settings else surrogate.atan(),
            reset_mechanism="zero",
        )
        self.output = linear(outward, 1.0 / task.TAU_OUT)  # a membrane of snnTorch takes its input as it is
        self.readout = snn.Leaky(beta=math.exp(-1.0 / task.TAU_OUT), reset_mechanism="none")

    def forward(self, x):
        """Input spikes [T, B, I] -> spikes [T, B, H] and readouts [T, B, O]."""
        currents = self.drive * self.input(x)
        back = (self.drive[..., None] * self.recurrent.weight).T
        spikes, membrane = torch.zeros_like(currents[0]), self.hidden.reset_mem()
        recorded = []
        for current in currents:
            spikes, membrane = self.hidden(current + spikes @ back, membrane)
            recorded.append(spikes)
        recorded = torch.stack(recorded)
        membrane = self.readout.reset_mem()
        readouts = []
        for current in self.output(recorded):
            _, membrane = self.readout(current, membrane)
            readouts.append(membrane)
        return recorded, torch.stack(readouts)


if __name__ == "__main__":
    run(Network, snntorch=snn.__version__)
