"""Folders of TensorFlow Datasets as TFDS itself writes them: any, and one of made-up recordings of spoken digits."""

import numpy as np
import tensorflow as tf

SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")


def recordings(takes=7):
    """`{file name: int64 [samples]}`: a tone a digit, louder or softer by speaker; few samples, none of them 0."""
    generator, found = np.random.default_rng(0), {}
    for digit in range(10):
        for number, speaker in enumerate(SPEAKERS):
            for take in range(takes):
                samples = int(generator.integers(200, 900))
                tone = np.sin(2 * np.pi * (300 + 200 * digit) * np.arange(samples) / 8000)
                noise = generator.normal(size=samples)
                sound = ((2 + number) * (1000 * tone + 100 * noise)).astype(np.int64)
                found[f"{digit}_{speaker}_{take}.wav"] = np.where(sound == 0, 1, sound)
    return found


def prepare(folder, name, version, features, **splits):
    """Prepares a data set in `folder`, whose splits are `tf.data.Dataset`s; nothing touches a network."""
    import tensorflow_datasets as tfds

    about = {"name": name, "version": version, "features": tfds.features.FeaturesDict(features)}
    tfds.dataset_builders.TfDataBuilder(**about, data_dir=folder, split_datasets=splits).download_and_prepare()
    return folder


def write(folder, made):
    """Prepares recordings in `folder`."""
    import tensorflow_datasets as tfds

    label, audio = tfds.features.ClassLabel(num_classes=10), tfds.features.Audio(file_format="wav", sample_rate=8000)
    features = {"audio": audio, "audio/filename": tfds.features.Text(), "label": label}

    def examples():
        for name, sound in made.items():
            yield {"audio": sound, "audio/filename": name, "label": int(name[0])}

    kinds = ((None,), tf.int64), ((), tf.string), ((), tf.int64)
    signature = {name: tf.TensorSpec(*kind) for name, kind in zip(features, kinds)}
    train = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return prepare(folder, "spoken_digit", "1.0.9", features, train=train)
