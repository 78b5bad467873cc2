"""The command line shows what it says itself, and not what TensorFlow logs in C++.

That are notes, a GPU that is not there, and XLA's alarm ("Very slow compile?") where a busy machine compiles for two
minutes; what goes wrong is raised as well. TensorFlow reads the level once, when it is imported, and importing the
package does that before its command line is reached. `TF_CPP_MIN_LOG_LEVEL=0` shows all of it.
"""

import os
import pathlib
import sys


def is_command():
    """Whether this process is `python -m kernl_keras` or `kernl-keras`."""
    as_module = sys.argv[:1] == ["-m"] and "kernl_keras" in sys.orig_argv
    return as_module or pathlib.Path((sys.argv or [""])[0]).stem == "kernl-keras"


if is_command():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
