"""The averages of weights that Keras' optimizers keep with `use_ema`: at the end of a `fit`, and for a while."""

import contextlib

from .learn import variable_groups


def give_averages(model):
    """Each optimizer with `use_ema` gives its own variables their averages."""
    for optimizer, variables in zip((model.sensitivity_optimizer, model.optimizer), variable_groups(model)):
        type(optimizer).finalize_variable_values(optimizer, variables)


@contextlib.contextmanager
def averages_of_both(model):
    """Within, a `fit` ends with the averages of both optimizers: Keras would hand all variables to one."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        yield
        return
    vars(optimizer)["finalize_variable_values"] = lambda _: give_averages(model)
    try:
        yield
    finally:
        del vars(optimizer)["finalize_variable_values"]


@contextlib.contextmanager
def averaged(model):
    """Within, the weights are their averages, and afterwards what they were, to the bit.

    Keras 3's `SwapEMAWeights` does so for one optimizer, and Keras 2 has no such callback.
    """
    kept = [(variable, variable.numpy()) for variables in variable_groups(model) for variable in variables]
    give_averages(model)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)
