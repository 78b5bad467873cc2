"""The equations as they stand on paper: float64 NumPy, loops over b, t, i, j. The oracle of the tests.

Written from the equations and apart from the TensorFlow code; it imports nothing of the package, and no room of the
package imports it. Sequences are batch-major, [B, T, ...]. Weights of a rule are [J, H], J counting inputs, units and
bias; M is [R, H, H], gamma [R, H].

    spiking        (1)-(9), their tangent (18)
    resonator      (24), (4)-(6), (9), their tangent (18)
    rate           leaky rate units, their tangent (18)
    rules          (10)-(15), (20)-(23), e-prop, RFLO
    own_kernel     (25)-(27)
    sensitivity    (16), (17), (19)
"""

from .own_kernel import own_kernel, own_kernel_sensitivity
from .rate import rate, rate_constants, rate_tangent
from .resonator import resonator, resonator_constants, resonator_tangent
from .rules import (
    eprop,
    eprop_alif,
    input_gradient,
    learning_signal,
    network,
    plain,
    presynaptic,
    reverse_network,
    reverse_plain,
    rflo,
    weight_gradient,
)
from .sensitivity import filtered_noise, sensitivity
from .spiking import FIELDS, constants, follow_reset, spiking, spiking_tangent

__all__ = [
    "FIELDS",
    "constants",
    "eprop",
    "eprop_alif",
    "filtered_noise",
    "follow_reset",
    "input_gradient",
    "learning_signal",
    "network",
    "own_kernel",
    "own_kernel_sensitivity",
    "plain",
    "presynaptic",
    "rate",
    "rate_constants",
    "rate_tangent",
    "resonator",
    "resonator_constants",
    "resonator_tangent",
    "reverse_network",
    "reverse_plain",
    "rflo",
    "sensitivity",
    "spiking",
    "spiking_tangent",
    "weight_gradient",
]
