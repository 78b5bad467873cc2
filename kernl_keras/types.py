"""What public arguments may be, for readers and for mypy.

TensorFlow and Keras come without types, so mypy takes their objects as they are. The words that an argument may be
stand here once more, so that a misspelled one is found before anything runs; the tables that the constructors look
them up in have the last word.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

# Of the layer and the rules
RuleName: TypeAlias = Literal["kernl", "plain_kernl", "eprop", "rflo", "bptt", "readout_only"]
KernelName: TypeAlias = Literal["membrane", "whole_unit", "exponential"]
TracesName: TypeAlias = Literal["linear"]
PerturbationName: TypeAlias = Literal["tangent", "twin", "replica"]
Observable: TypeAlias = Literal["distance", "voltage", "reset_voltage"]
Noise: TypeAlias = Literal["current", "synapse", "activity"]
PostFactor: TypeAlias = Literal["gate", "surrogate", "trace"]
Credit: TypeAlias = Literal["all", "last"]

# Of the model
OnNonfinite: TypeAlias = Literal["skip", "stop"]

# Of the cells and the encoder
Reset: TypeAlias = Literal["hard", "soft"]
Discretization: TypeAlias = Literal["exponential", "euler"]
SurrogateName: TypeAlias = Literal[
    "triangle", "exponential", "fast_sigmoid", "arctan", "gaussian", "multi_gaussian", "boxcar"
]
Surrogate: TypeAlias = SurrogateName | Mapping[str, Any] | Callable[[Any], Any]
Feedback: TypeAlias = Literal["symmetric", "random"]
Activation: TypeAlias = Literal["tanh", "relu", "identity"]
Compression: TypeAlias = Literal["log", "pcen"]
Code: TypeAlias = Literal["bernoulli", "threshold", "current", "population", "delta", "latency"]

# Keras objects: by name, by configuration, or themselves, which are called
Initializer: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
Regularizer: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
Constraint: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]

# One number for all units, one a unit, or an initializer
TimeConstant: TypeAlias = float | Iterable[float] | Mapping[str, Any] | Callable[..., Any]

# Of recurrent connections: a share of them, or True and False
Connectivity: TypeAlias = float | Iterable[Iterable[bool]]
Excitatory: TypeAlias = float | Iterable[bool]

Config: TypeAlias = dict[str, Any]
