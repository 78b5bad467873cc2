"""Named settings of the `RNN` layer."""

from ..keras_version import keras


def reference(time_steps):
    """The reference code: plain form, noise on the synapses, a replica of each unit, the last step only."""
    return {
        "form": "plain",
        "perturbation": "synapse",
        "sensitivity_mode": "replica",
        "observe": "reset_voltage",
        "post_factor": "trace",
        "credit": "last",
        "noise_std": 0.5,
        "sensitivity_initializer": "glorot_uniform",
        "temporal_filter_initializer": keras.initializers.RandomUniform(0.0, 1.0 / time_steps),
    }


PRESETS = {"default": lambda time_steps: {}, "reference": reference}
