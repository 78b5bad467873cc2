"""Training: the model whose steps alternate the two kinds of learning."""
