"""Our worker: this package and its floor, see `peers.racing`. It is run as a file, as the peers' scripts are."""

import os
import pathlib
import sys

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    here = pathlib.Path(__file__).resolve().parent
    sys.path[:1] = [str(here.parents[2]), str(here / "peers")]  # the checkout and what workers share, not this folder
    import protocol
    import racing

    from notebooks.lab.benchmark import by_hand, floor, network, plan

    builders = {**dict.fromkeys(floor.RULES, floor.build), **dict.fromkeys(plan.LAYER, by_hand.build)}
    racing.run(builders.get(protocol.settings()["rule"], network.build), network.build_racer)
