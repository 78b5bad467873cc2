"""The command line shows what it says itself, and not what TensorFlow logs in C++: notes, a GPU that is not there.

TensorFlow reads the level once, when the package imports it. `TF_CPP_MIN_LOG_LEVEL=0` shows all of it.
"""

import os
import pathlib
import sys

as_module = sys.argv[:1] == ["-m"] and "kernl_keras" in sys.orig_argv
if as_module or pathlib.Path((sys.argv or [""])[0]).stem == "kernl-keras":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
