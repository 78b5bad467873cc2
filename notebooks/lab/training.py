"""How the laboratory's own networks learn: Adam, gradients of length 1 at the most, the cross-entropy of logits."""

from kernl_keras.keras_version import keras


def compiled(model, rate, updates=None, loss=None, weight_decay=None, **settings):
    """The model, compiled; the learning rate falls to zero over so many `updates`, or stays."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, updates) if updates else rate
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0, weight_decay=weight_decay or None)
    model.compile(optimizer=optimizer, loss=loss, **settings)
    return model
