"""Our worker: this package and its floor, see `peers.protocol`. It is run as a file, as the peers' scripts are."""

import os
import pathlib
import sys

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[3])  # the checkout, not this folder
    from notebooks.lab.benchmark import by_hand, floor, network, plan
    from notebooks.lab.benchmark.peers import protocol

    rule = protocol.settings()["rule"]
    builders = {**dict.fromkeys(floor.RULES, floor.build), **dict.fromkeys(plan.LAYER, by_hand.build)}
    protocol.serve(builders.get(rule, network.build))
