"""Makes `ecg_qtdb.npz`, the packaged heartbeats, from the files of github.com/byin-cwi/Efficient-spiking-networks.

    python -m notebooks.lab.make_ecg --source DIR

DIR holds `QTDB_train.mat` and `QTDB_test.mat`. SciPy reads them; it is needed for nothing else. Running it again writes
the same bytes (with the same zlib).
"""

import pathlib
import sys

import numpy as np

from kernl_keras import data
from kernl_keras.data.ecg import ECG_FILE

from .make_sample import write_npz
from .options import Command


def arrays_of(parts):
    """The arrays of the file, by name, from the training part and the test part: x [N, T, 4] and y [N, T, 6]."""
    crossings, classes = zip(*((part["x"].astype(np.int8), part["y"].argmax(-1).astype(np.uint8)) for part in parts))
    return {
        "crossings": np.concatenate(crossings),
        "classes": np.concatenate(classes),
        "train": np.array(len(classes[0]), np.uint16),
    }


def run(options, about):
    """Reads the two files and writes the one."""
    import scipy.io  # an optional package

    arrays = arrays_of([scipy.io.loadmat(options.source / f"QTDB_{part}.mat") for part in ("train", "test")])
    write_npz(options.output, arrays)
    print(f"{options.output}: {len(arrays['classes'])} sequences in {options.output.stat().st_size:,} bytes")


main = Command("make_ecg", __doc__, run)
main.option("--source", type=pathlib.Path, required=True, metavar="DIR", help="folder of the two .mat files")
main.option("--output", type=pathlib.Path, default=pathlib.Path(data.__file__).with_name(ECG_FILE), metavar="FILE")

if __name__ == "__main__":
    sys.exit(main())
