"""How far training is: the horizontal axis of everything that is logged."""


def training_steps(model):
    """How many training steps were made; the optimizers count them, and a resumed run goes on with their counts."""
    steps = int(model.optimizer.iterations.numpy())
    if getattr(model, "sensitivity_only", 0):  # the first steps do not move the weights
        steps += min(int(model.sensitivity_optimizer.iterations.numpy()), model.sensitivity_only)
    return steps
