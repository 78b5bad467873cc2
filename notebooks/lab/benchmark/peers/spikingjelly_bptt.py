"""The reference network in SpikingJelly, trained by backpropagation through time."""

import importlib.metadata

import task
import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch_training import linear, run


class Network(torch.nn.Module):
    """A layer of `LIFNode` in single-step mode with a linear layer back to itself, and a leaky readout.

    The loop over the steps is SpikingJelly's step-by-step propagation (its documentation, Basic Conception). What does
    not wait for the spikes is done for all steps at once. `LinearRecurrentContainer`, which holds neurons and
    recurrence in one (its example rsnn_sequential_fmnist), multiplies the inputs and the spikes by a matrix of
    [2 H, H] that it also trains: another network, and slower by half. Surrogate gradient: ATan, as in the example.
    """

    def __init__(self, settings):
        super().__init__()
        inward, back, outward = task.weights(settings)
        self.input, self.recurrent = linear(inward), linear(back)
        self.hidden = neuron.LIFNode(
            tau=task.TAU_M,
            decay_input=False,
            v_threshold=task.THRESHOLD,
            v_reset=0.0,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
        )
        self.output = linear(outward)
        self.readout = neuron.NonSpikingLIFNode(tau=task.TAU_OUT)

    def forward(self, x):
        """Input spikes [T, B, I] -> spikes [T, B, H] and readouts [T, B, O]."""
        functional.reset_net(self)
        currents = self.input(x)
        spikes = torch.zeros_like(currents[0])
        recorded = []
        for current in currents:
            spikes = self.hidden(current + self.recurrent(spikes))
            recorded.append(spikes)
        recorded = torch.stack(recorded)
        return recorded, torch.stack(self.readout(self.output(recorded)))


if __name__ == "__main__":
    run(Network, spikingjelly=importlib.metadata.version("spikingjelly"))
