"""Make the predictor that ships: `python -m zoo.predictor --data DIR… --home HOME [--outcomes FILE]`

From the committed outcomes, and of those alone that were measured on datasets whose licences let what is made
from them ship. HOME is the registry that was measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from snt_zoo.encoders.predictor_file import ASSET, save_predictor
from snt_zoo.registry.registry import Registry
from snt_zoo.workflows.train_predictor import read_file, train_predictor
from zoo.parents import may_ship, parents
from zoo.sources import read_sources

OUTCOMES = Path(__file__).parents[1] / "benchmarks/results/outcomes.parquet"


def main() -> None:
    """Train and write it."""
    parser = argparse.ArgumentParser(prog="python -m zoo.predictor", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry")
    parser.add_argument("--outcomes", type=Path, default=OUTCOMES)
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = [path for folder in arguments.data for path in sorted(folder.iterdir())]
    refs = [str(path) for path in paths if may_ship(path.stem) and (path.is_dir() or path.suffix == ".npz")]
    made = train_predictor(
        Registry.open(arguments.home),
        refs,
        read_file(arguments.outcomes),
        parents=parents([*read_sources()]),
    )
    save_predictor(made, arguments.out)
    print(
        f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, bound {made.bound:.2f}, {dict(made.card)}"
    )


if __name__ == "__main__":
    main()
