from ..keras_version import keras


class KeRNLTensorBoard(keras.callbacks.Callback):
    pass
