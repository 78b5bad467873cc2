"""The time of a training step, beside that of the same network in other packages."""
