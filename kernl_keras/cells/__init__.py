"""Cells: one time step with weights, for `keras.layers.RNN`."""
