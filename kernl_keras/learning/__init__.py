"""The learning rules: how errors and records become the gradients of weights, M and gamma."""
