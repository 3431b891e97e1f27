"""What the page of a supernet shows, from the catalog and from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.errors import BundleError, NotInRegistryError
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.bundle.schema import BundleConfig, Source
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.lineage import Lineage
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.own_outcomes import by_supernet
from snt_zoo.registry.registry import Registry
from snt_zoo.search.adapting.drawing import draw_genotype
from snt_zoo.service.page.classes import ClassNames

_CELLS_KEPT = 64  # drawn cells; each is read from the weights, and has some ten kilobytes
_OUTCOMES = 20  # that are shown; the others are told by the API
_SAMPLE = 10  # classes of a source that are named


@dataclass(frozen=True)
class Mixture:
    """What the alphas say of one kind of cell.

    Args:
        kind: of cell.
        operations: names of the columns.
        rows: for each edge its nodes, the shares of the operations (from 0 to 1; they sum to 1), and the
            column that the genotype keeps, or None.
    """

    kind: str
    operations: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...], int | None], ...]


@dataclass(frozen=True)
class Cells:
    """The architecture of a supernet: a picture, and the alphas in figures."""

    picture: Markup
    mixtures: tuple[Mixture, ...]


@dataclass(frozen=True)
class Origin:
    """A source, with some of its classes.

    Args:
        data: as the bundle tells it.
        accuracy: on its test part, from 0 to 1; None if not measured.
        sample: names of some of its classes, evenly spaced.
        hidden: classes that are not named.
    """

    data: Source
    accuracy: float | None
    sample: tuple[str, ...]
    hidden: int


@dataclass(frozen=True)
class Entry:
    """A supernet.

    Args:
        record: of the catalog.
        config: of the bundle; None if its files are gone or damaged.
        cells: its architecture; None likewise.
        origins: what it was trained on.
        attributions: texts that licences ask for, each with the sources that it speaks of.
        versions: other versions of its name, the newest first.
        lineage: its parents, and what came of it.
        outcomes: what it came to on datasets, the newest first, and how many more there are.
        commands: that use it, each with what it does.
    """

    record: Record
    config: BundleConfig | None
    cells: Cells | None
    origins: tuple[Origin, ...]
    attributions: tuple[tuple[str, tuple[str, ...]], ...]
    versions: tuple[Record, ...]
    lineage: Lineage
    outcomes: tuple[tuple[Outcome, ...], int]
    commands: tuple[tuple[str, str], ...]


def show(registry: Registry, classes: ClassNames, id: str, *, url: str = "") -> Entry:
    """The page of a supernet.

    Args:
        registry: that has it.
        classes: names of classes.
        id: as of `Registry.resolve`.
        url: under which the service is called, for the commands; empty for the user's own registry.

    Raises:
        NotInRegistryError: none fits, or several.
    """
    record = registry.show(registry.resolve(id))
    try:
        config = record.config
        cells = _kept_cells(registry, record.id, record.digest)
    except (BundleError, NotInRegistryError):
        config, cells = None, None
    versions = registry.list(Filter(name=record.name))
    return Entry(
        record=record,
        config=config,
        cells=cells,
        origins=_origins(record, config, classes),
        attributions=_attributions(config),
        versions=tuple(
            sorted(
                (each for each in versions if each.id != record.id),
                key=lambda each: each.added_at,
                reverse=True,
            )
        ),
        lineage=registry.lineage(record.id),
        outcomes=_outcomes(registry, record),
        commands=commands_of(record.id, url),
    )


def _outcomes(registry: Registry, record: Record) -> tuple[tuple[Outcome, ...], int]:
    found = by_supernet(registry.home).get(record.digest[:16], ())
    return tuple(reversed(found[-_OUTCOMES:])), max(0, len(found) - _OUTCOMES)


def commands_of(id: str, url: str = "") -> tuple[tuple[str, str], ...]:
    """What one types to use a supernet. An id holds letters, digits, `.`, `_` and `-` alone."""
    zoo = program(url)
    return (
        ("Adapt it to your images", f"{zoo} finetune YOUR_IMAGES --from {id} --budget 10m"),
        ("See which classes lie near yours", f"{zoo} distance YOUR_IMAGES {id}"),
        ("Show what is known of it", f"{zoo} show {id}"),
    )


def program(url: str) -> str:
    """How a command begins that asks the service at an address, or the user's own registry."""
    return f"snt-zoo --zoo {url}" if url else "snt-zoo"


def cells_of(supernet: Supernet) -> Cells:
    """The architecture of a supernet: an edge is as thick as the share of what it keeps."""
    genotype = supernet.genotype()
    operations = tuple(supernet.space.operations)
    weights: dict[str, dict[tuple[int, int], list[float]]] = {}
    mixtures = []
    for kind, table in supernet.probabilities().items():
        edges = supernet.space.edges[kind]
        shares = dict(zip(edges, table.detach().tolist(), strict=True))
        kept = {(edge.source, edge.target): edge.operation for edge in genotype.cells[kind]}
        weights[kind] = shares
        rows = tuple(
            (
                f"{source}→{target}",
                tuple(shares[source, target]),
                operations.index(kept[source, target]) if (source, target) in kept else None,
            )
            for source, target in edges
        )
        mixtures.append(Mixture(kind, operations, rows))
    thickness = {
        kind: [weights[kind][edge.source, edge.target][operations.index(edge.operation)] for edge in edges]
        for kind, edges in genotype.cells.items()
    }
    return Cells(Markup(draw_genotype(genotype, shares=thickness, styled=False)), tuple(mixtures))


@lru_cache(maxsize=_CELLS_KEPT)
def _kept_cells(registry: Registry, id: str, digest: str) -> Cells:
    del digest  # of the version that was drawn: another of the same id would be drawn anew
    return cells_of(registry.get(id).supernet)


def _origins(record: Record, config: BundleConfig | None, classes: ClassNames) -> tuple[Origin, ...]:
    if config is None:
        return ()
    names = {each.source: each.names for each in classes.of(record)}
    alone = len(config.training.datasets) == 1
    found = []
    for data in config.training.datasets:
        known = names.get(data.name, ())
        sample = _spaced(known, _SAMPLE)
        accuracy = record.test_accuracy if alone else data.test_accuracy
        found.append(Origin(data, accuracy, sample, len(known) - len(sample)))
    return tuple(found)


def _spaced(names: Sequence[str], most: int) -> tuple[str, ...]:
    """Some of the names, evenly spaced, the first among them."""
    if len(names) <= most:
        return tuple(names)
    return tuple(names[i * len(names) // most] for i in range(most))


def _attributions(config: BundleConfig | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if config is None:
        return ()
    named: dict[str, list[str]] = {}
    for data in config.training.datasets:
        if data.attribution:
            named.setdefault(data.attribution, []).append(data.name)
    return tuple((text, tuple(names)) for text, names in named.items())


def settings_of(config: BundleConfig) -> Mapping[str, str]:
    """How it was trained, as a table."""
    training = config.training
    return {
        "date": training.date,
        "epochs": f"{training.epochs:,}",
        "time": f"{training.seconds:,.0f} s",
        "seed": str(training.seed),
        "snt-zoo": training.code_version,
        "torch": training.torch_version,
        **{key: str(value) for key, value in sorted(training.recipe.items())},
    }
