"""Pure functions of tensors: decays, surrogates, codes of input units, power of sound."""
