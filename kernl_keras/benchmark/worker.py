"""Our worker: this package and its floor, see `peers.protocol`. It is run as a file, as the peers' scripts are."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # not this folder
    from kernl_keras.benchmark import floor, network
    from kernl_keras.benchmark.peers import protocol

    rule = protocol.settings()["rule"]
    protocol.serve(floor.build if rule in floor.RULES else network.build)
