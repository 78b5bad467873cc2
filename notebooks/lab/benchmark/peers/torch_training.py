"""What the packages built on PyTorch share: encode, backpropagate through time, update."""

import racing
import task
import torch


def run(network_class, **versions):
    """A worker, timed or in a race as its settings ask.

    `network_class` makes a `torch.nn.Module` of the settings, which maps input spikes [T, B, I] to the hidden spikes
    [T, B, H] and the readouts [T, B, O]; `versions` are those of the packages that decide the time, beside PyTorch's.
    """
    racing.run(builder(network_class, versions), racer(network_class, versions))


def builder(network_class, versions):
    """The `build` of a worker."""

    def build(settings):
        torch.set_num_threads(settings["threads"])
        # A gradient that fades over hundreds of steps ends in denormal numbers, on which a CPU is slow. TensorFlow and
        # JAX flush them to zero by themselves; PyTorch is asked to, before it starts threads, which inherit it.
        torch.set_flush_denormal(True)
        torch.manual_seed(task.SEED)
        pixels, labels = map(torch.from_numpy, task.batch(settings))
        probability = pixels.T[:, :, None].expand(-1, -1, settings["inputs"] - 1)  # [T, B, I - 1]
        context = torch.from_numpy(task.context(settings))
        network = network_class(settings)
        optimizer = torch.optim.RMSprop(network.parameters(), lr=task.LEARNING_RATE)

        def step():
            x = torch.cat([torch.bernoulli(probability), context], dim=2)
            _, readouts = network(x)
            loss = torch.nn.functional.cross_entropy(readouts[-task.window(settings) :].mean(0), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step, {**versions, "torch": torch.__version__}

    return build


def racer(network_class, versions):
    """What trains and predicts in a race: the `build_racer` of `racing.run`."""

    def build(settings):
        torch.set_num_threads(settings["threads"])
        torch.set_flush_denormal(True)  # see `builder`
        torch.manual_seed(settings["seed"])
        network = network_class(settings)
        parameters = list(network.parameters())
        optimizer = torch.optim.Adam(parameters, lr=settings["learning_rate"])

        def logits(pixels):
            _, readouts = network(torch.from_numpy(task.encode(pixels, settings)))
            return readouts[-task.window(settings) :].mean(0)

        def train(pixels, labels, rate):
            optimizer.param_groups[0]["lr"] = rate
            loss = torch.nn.functional.cross_entropy(logits(pixels), torch.from_numpy(labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
            optimizer.step()

        def predict(pixels):
            with torch.no_grad():
                return logits(pixels).argmax(1).numpy()

        return train, predict, {**versions, "torch": torch.__version__}

    return build


def linear(weight, gain=1.0):
    """A linear layer without bias that starts from `weight` [inputs, outputs] times `gain`."""
    layer = torch.nn.Linear(*weight.shape, bias=False)
    with torch.no_grad():
        layer.weight.copy_(gain * torch.from_numpy(weight.T))
    return layer
