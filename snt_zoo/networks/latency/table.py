"""What each choice of a search space takes on a machine: a table that is measured once, and kept as JSON.

A network's latency is predicted as what all networks of its space have, and a sum over its operations (as in
ProxylessNAS, Cai et al., ICLR 2019, arXiv 1812.00332, section 3.3). Operations that are measured apart come
to a little more or less than in a network, where a runtime joins them: so each kind of operation is scaled,
and what all networks have is found, by some whole networks that are measured as well.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snt_zoo.errors import LatencyTableError, SntZooError
from snt_zoo.formats.durable import write_files
from snt_zoo.formats.strict_json import parse_json
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.latency.measuring import Clock, measure_networks, measure_parts
from snt_zoo.networks.spaces import SearchSpace
from snt_zoo.networks.spaces.costs import Costs
from snt_zoo.networks.supernet import NetworkConfig

FORMAT = "snt-zoo latency table 1"
LIMIT = 10_000_000  # bytes of the file
WHOLE = 16
"""Random networks of each space and size that are measured whole."""

# Of a whole network that was measured, and of the factor of a kind of operation around that of all: one in
# thirty by which prediction and measurement differ at best (`python -m benchmarks.latency`), and one in five.
_NOISE, _SPREAD = 0.03, 0.2


@dataclass(frozen=True)
class Row:
    """What networks of a space take at one size, in nanoseconds.

    Args:
        fixed: what all have.
        choices: for each kind of cell ``edges x operations``.
        error: mean relative difference from the whole networks that were measured.
    """

    fixed: int
    choices: Mapping[str, Sequence[Sequence[int]]]
    error: float

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The choices as int64."""
        return {kind: torch.tensor(rows, dtype=torch.int64) for kind, rows in self.choices.items()}


@dataclass(frozen=True)
class LatencyTable:
    """The latencies of a machine by one number of threads.

    Args:
        machine: what it was measured on (`this_machine`).
        threads: of a run.
        rows: by what `key_of` gives.
    """

    machine: Mapping[str, Any]
    threads: int
    rows: Mapping[str, Row] = field(default_factory=dict)

    def costs(self, config: NetworkConfig, costs: Costs) -> Costs:
        """The costs of a space at a size, with its latencies.

        Raises:
            LatencyTableError: the table has no row for them.
        """
        row = self.rows.get(key_of(config))
        if row is None:
            raise LatencyTableError(
                f"the table of latencies has none for {key_of(config)}: run `snt-zoo bench --table` on the "
                "machine that it is of"
            )
        return replace(costs, fixed_latency=row.fixed, latency=row.tensors)

    def predict(self, config: NetworkConfig, genotype: Genotype) -> float:
        """Seconds that the network of a genotype takes for one image; raises as `costs`."""
        space = config.build_space()
        costs = self.costs(config, space.costs(config.input_size))
        return costs.latency_of(space.pruned(space.choice(genotype))) / 1e9

    def measured(
        self,
        configs: Sequence[NetworkConfig],
        *,
        tell: Callable[[str], None] = lambda text: None,
        clock: Clock | None = None,
    ) -> LatencyTable:
        """The table with rows for some spaces and sizes; those that it has are kept.

        Raises:
            LatencyTableError: it is of another machine.
            ConfigError: a space does not say what its operations are made of.
        """
        wanted = {key_of(config): config for config in configs if key_of(config) not in self.rows}
        if not wanted:
            return self
        if self.machine != this_machine():
            raise LatencyTableError(
                f"the table is of another machine ({self.machine.get('processor')}), and has no row for "
                f"{', '.join(wanted)}: measure it there"
            )
        rows = dict(self.rows)
        for key, config in wanted.items():
            tell(key)
            rows[key] = _row(config, clock or Clock(self.threads))
        return replace(self, rows=rows)

    def describe(self) -> dict[str, Any]:
        """What it is of, without its rows."""
        return {"machine": dict(self.machine), "threads": self.threads}

    # ---- on disk --------------------------------------------------------------------------------

    def write(self, path: Path) -> None:
        """As a JSON file; raises `LatencyTableError` if it cannot be written."""
        document = {
            "format": FORMAT,
            "machine": dict(self.machine),
            "threads": self.threads,
            "rows": {
                key: {"fixed": row.fixed, "choices": row.choices, "error": row.error}
                for key, row in self.rows.items()
            },
        }
        try:
            write_files(path.parent, {path.name: json.dumps(document).encode()})
        except OSError as error:
            raise LatencyTableError(
                f"cannot write {path} ({error.strerror}): make room, or choose another"
            ) from error

    @classmethod
    def read(cls, path: Path) -> LatencyTable:
        """What `write` wrote.

        Raises:
            LatencyTableError: there is no such file, or it is something else.
        """
        try:
            with path.open("rb") as file:
                document = parse_json(file.read(LIMIT + 1), what=path.name, limit=LIMIT)
            if document.get("format") != FORMAT:
                raise ValueError(f"its format is {document.get('format')!r}")
            rows = {
                str(key): Row(
                    int(row["fixed"]),
                    {
                        str(kind): [[int(n) for n in each] for each in table]
                        for kind, table in row["choices"].items()
                    },
                    float(row["error"]),
                )
                for key, row in document["rows"].items()
            }
            return cls(dict(document["machine"]), int(document["threads"]), rows)
        except (OSError, SntZooError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise LatencyTableError(
                f"{path} is no table of latencies ({error}): make one with `snt-zoo bench --table`"
            ) from error


def this_machine() -> dict[str, Any]:
    """What a table must have been measured on to be of this machine."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "onnxruntime": runtime,
    }


def home_table(home: Path, threads: int = 1) -> tuple[LatencyTable, Path]:
    """The table of this machine that a registry keeps, or an empty one; and where it lies.

    Args:
        home: of the registry.
        threads: of a run.

    Returns:
        A table of another machine, or of another onnxruntime, is stale: an empty one stands in its place.
    """
    path = home / "latency" / f"threads-{threads}.json"
    empty = LatencyTable(this_machine(), threads)
    if not path.is_file():
        return empty, path
    try:
        kept = LatencyTable.read(path)
    except LatencyTableError:
        return empty, path
    return (kept if kept.machine == empty.machine else empty), path


def key_of(config: NetworkConfig) -> str:
    """What networks have in common that take the same for the same operations."""
    numbers = config.build_space().hyperparameters()
    text = ", ".join(f"{name}={value}" for name, value in sorted(numbers.items()))
    return f"{config.space} ({text}) at {config.input_size} pixels"


def random_genotypes(space: SearchSpace, count: int, *, seed: int = 0) -> list[Genotype]:
    """Different genotypes, drawn by alphas that are."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Genotype] = {}
    for _ in range(20 * count):
        mixture = {
            kind: torch.randn(len(edges), len(space.operations), generator=generator).softmax(1)
            for kind, edges in space.edges.items()
        }
        genotype = space.discretise(mixture)
        found.setdefault(repr(space.pruned(space.choice(genotype))), genotype)
        if len(found) == count:
            break
    return list(found.values())


def _row(config: NetworkConfig, clock: Clock) -> Row:
    """Measure one row."""
    space = config.build_space()
    by_choice = space.parts(config.input_size)
    parts = list(
        dict.fromkeys(part for rows in by_choice.values() for row in rows for parts in row for part in parts)
    )
    seconds = dict(zip(parts, measure_parts(parts, clock), strict=True))
    apart = {
        kind: torch.tensor(
            [[sum(seconds[part] for part in parts) for parts in row] for row in rows], dtype=torch.float64
        )
        for kind, rows in by_choice.items()
    }
    genotypes = random_genotypes(space, WHOLE)
    whole = np.array(measure_networks([_network(config, one) for one in genotypes], clock))
    sums = np.stack([_by_operation(apart, space.pruned(space.choice(one))) for one in genotypes])
    fixed, scales = fitted(sums, whole)
    return Row(
        round(1e9 * fixed),
        {
            kind: [
                [round(1e9 * scale * s) for scale, s in zip(scales.tolist(), row, strict=True)]
                for row in table.tolist()
            ]
            for kind, table in apart.items()
        },
        float(np.mean(np.abs(fixed + sums @ scales - whole) / whole)),
    )


def _network(config: NetworkConfig, genotype: Genotype) -> DerivedModel:
    return DerivedModel.create(config, genotype, generator=torch.Generator().manual_seed(0)).eval()


def _by_operation(table: Mapping[str, Tensor], choice: Mapping[str, Sequence[int]]) -> NDArray[np.float64]:
    """What a path takes, summed for each operation."""
    operations = next(iter(table.values())).shape[1]
    found = np.zeros(operations)
    for kind, path in choice.items():
        for row, index in enumerate(path):
            found[index] += float(table[kind][row, index])
    return found


def fitted(sums: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """What all networks have, and by what each operation is multiplied, so that sums come near what is so.

    Args:
        sums: of each network what its operations take apart, in seconds, ``networks x operations``.
        whole: what each takes whole, ``networks``.

    Returns:
        Nothing of it negative. By relative differences, with factors that stay near the one that is best for
        all operations: of few networks a kind may have little to go by.
    """
    from scipy.optimize import nnls

    weight = 1 / (_NOISE * whole)
    ones = np.ones((len(whole), 1))
    both = np.concatenate([ones, sums.sum(1, keepdims=True)], 1)
    fixed, scale = nnls(both * weight[:, None], whole * weight)[0]
    if scale <= 0:
        return float(fixed), np.zeros(sums.shape[1])
    near = np.concatenate([np.zeros((sums.shape[1], 1)), np.eye(sums.shape[1])], 1) / (_SPREAD * scale)
    design = np.concatenate([np.concatenate([ones, sums], 1) * weight[:, None], near])
    wanted = np.concatenate([whole * weight, np.full(sums.shape[1], 1 / _SPREAD)])
    fixed, *scales = nnls(design, wanted)[0]
    return float(fixed), np.array(scales)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
