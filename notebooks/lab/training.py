"""How the laboratory's own networks learn: Adam, gradients of length 1 at the most, the cross-entropy of logits."""

from kernl_keras.keras_version import keras


def compiled(model, rate, updates=None, loss=None, weight_decay=0.0, **settings):
    """The model, compiled; the learning rate falls to zero over so many `updates`, or stays; AdamW for a decay."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, updates) if updates else rate
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    decay = {"weight_decay": weight_decay} if weight_decay else {}
    optimizer = (keras.optimizers.AdamW if decay else keras.optimizers.Adam)(schedule, global_clipnorm=1.0, **decay)
    model.compile(optimizer=optimizer, loss=loss, **settings)
    return model
