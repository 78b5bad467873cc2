"""The training step as a StableHLO module, and a program that times it where there is JAX and no TensorFlow."""
