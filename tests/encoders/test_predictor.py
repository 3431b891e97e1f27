"""On a made world: datasets are hard or easy, networks good or bad, and one is good for what lies near its
source."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.facts import facts
from snt_zoo.encoders.gaussian_process import Pairs
from snt_zoo.encoders.predictor import Predictor, geometry_of
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import ConfigError
from tests.encoders.making import random_sketch
from tests.encoders.test_network_facts import made

TASKS, NETWORKS = 14, 6


def _world() -> tuple[list[Sketch], Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    sketches = [random_sketch(3 + t % 5, seed=t, name=f"data-{t}") for t in range(TASKS)]
    levels, good = torch.randn(TASKS, generator=g).double(), torch.linspace(-1, 1, NETWORKS + 1).double()
    distances = 0.5 + torch.rand(TASKS, NETWORKS, generator=g).double()
    table = levels[:, None] + good[None] + 0.05 * torch.randn(TASKS, NETWORKS + 1, generator=g).double()
    table[:, :-1] -= 0.5 * distances
    return sketches, table, distances


def fitted() -> Predictor:
    """A predictor of the made world, where one outcome is missing."""
    sketches, table, distances = _world()
    networks = [made(i) for i in range(NETWORKS)]
    parents = [f"parent-{t}" for t in range(TASKS)]
    asked = torch.full((TASKS,), 300.0).double()
    table[2, 3] = torch.nan
    return Predictor.fit(
        sketches, parents, networks, table, asked, distances, card={"datasets": ["made"]}, steps=15
    )


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return fitted()


def test_a_better_network_is_predicted_to_be_better_on_a_new_dataset(predictor: Predictor) -> None:
    found = predictor.predict(random_sketch(4, seed=99), predictor.networks, [1.0] * NETWORKS)
    assert found is not None and len(found) == NETWORKS + 1  # the probe is the last
    said = [one.accuracy for one in found]
    assert said[-1] > said[0] and torch.corrcoef(torch.tensor([said, range(len(said))]))[0, 1] > 0.9
    assert all(0 <= one.low < one.accuracy < one.high <= 1 for one in found)


def test_a_network_that_was_never_seen_and_has_no_profile_is_predicted_too(predictor: Predictor) -> None:
    new = made(77, profile=False)
    found = predictor.predict(random_sketch(4, seed=99), [new, predictor.networks[0]], [1.0, 1.0])
    alone = predictor.predict(random_sketch(4, seed=99), [predictor.networks[0]], [1.0])
    assert found is not None and alone is not None
    assert 0 < found[0].accuracy < 1
    assert found[1].accuracy == pytest.approx(
        alone[0].accuracy, abs=1e-9
    )  # who else is asked about does not matter


def test_a_sum_factor_by_factor_is_that_over_all_pairs(predictor: Predictor) -> None:
    """What is said without a probe, by the kernel's whole matrix as with one."""
    sketch, asked = random_sketch(4, seed=99), [*predictor.networks[:3], made(77, profile=False)]
    distances = [0.7, 1.4, 0.2, 0.9]
    seen, geometry = predictor.process.pairs, predictor.process.geometry
    everybody = [*predictor.networks, asked[-1]]
    near = torch.full((TASKS + 1, len(everybody)), torch.nan).double()
    near[-1, [0, 1, 2, NETWORKS]] = torch.tensor(distances).double()
    whole = geometry_of(
        torch.cat([predictor.known, facts(sketch)[None]]),
        predictor.known,
        torch.cat([predictor.vectors, embed(sketch).double()[None]]),
        everybody,
        predictor.networks,
        near,
        predictor.near,
    )
    shift = torch.where(seen.network == NETWORKS, NETWORKS + 1, seen.network)
    whole.to_source[seen.task, shift] = geometry.to_source[seen.task, seen.network]
    pairs = Pairs(torch.full((5,), TASKS), torch.tensor([0, 1, 2, NETWORKS, NETWORKS + 1]))
    cross = predictor.process.kernel.matrix(whole, pairs, Pairs(seen.task, shift))
    found = predictor.predict(sketch, asked, distances)
    assert found is not None
    expected = (predictor.mean + cross @ predictor.weights).sigmoid().tolist()
    # Distances of profiles are rounded otherwise where there are more of them.
    assert [one.accuracy for one in found] == pytest.approx(expected, rel=1e-6)


def test_a_known_probe_moves_the_others_its_way_and_narrows_intervals(predictor: Predictor) -> None:
    ask = random_sketch(4, seed=99), predictor.networks, [1.0] * NETWORKS
    alone = predictor.predict(*ask) or []
    easy, hard = (predictor.predict(*ask, probe=(share, 500)) or [] for share in (0.98, 0.1))
    assert easy[-1].accuracy == pytest.approx(0.98, abs=0.03)
    for one, low, high in zip(alone, hard, easy, strict=True):
        assert low.accuracy < one.accuracy < high.accuracy
    assert predictor.bound_beside_probe < predictor.bound
    both = (predictor.evaluate(beside_probe=known)["mae_points"] for known in (True, False))
    assert next(both) < next(both)


def test_a_known_probe_is_as_good_as_a_probe_that_was_seen() -> None:
    """The oracle: the same process with the probe's outcome among what it was fitted to."""
    sketches, table, distances = _world()
    networks, parents = [made(i) for i in range(NETWORKS)], [str(t) for t in range(TASKS)]
    asked = torch.full((TASKS,), 400.0).double()
    table[-1, :-1] = torch.nan
    seen = Predictor.fit(sketches, parents, networks, table, asked, distances, card={}, steps=0)
    share = float(table[-1, -1].sigmoid())
    table[-1, -1] = torch.nan
    unseen = Predictor.fit(
        sketches[:-1], parents[:-1], networks, table[:-1], asked[:-1], distances[:-1], card={}, steps=0
    )
    ask = sketches[-1], networks, distances[-1].tolist()
    found = unseen.predict(*ask, probe=(share, 400)) or []
    mean, _ = seen.process.predict(Pairs(torch.full((NETWORKS,), TASKS - 1), torch.arange(NETWORKS)))
    expected = (mean + seen.mean).sigmoid().tolist()
    # Facts, distances and levels are standardised without the new dataset, so nearly and not quite.
    for one, other in zip(found[:-1], expected, strict=True):
        assert one.accuracy == pytest.approx(other, abs=0.03)


def test_another_backbone_has_no_prediction(predictor: Predictor) -> None:
    other = random_sketch(4)
    fields = {name: getattr(other, name) for name in other.__dataclass_fields__}
    assert predictor.predict(Sketch(**{**fields, "backbone": "other/one"}), [], []) is None


def test_an_evaluation_leaves_each_parent_out(predictor: Predictor) -> None:
    found = predictor.evaluate()
    assert found["parents"] == TASKS and found["outcomes"] == TASKS * NETWORKS - 1
    assert 0 < found["mae_points"] < 30 and 0.6 < found["coverage"] <= 1


def test_one_dataset_is_too_few() -> None:
    sketches, table, distances = _world()
    networks = [made(i) for i in range(NETWORKS)]
    with pytest.raises(ConfigError, match="at least two datasets"):
        Predictor.fit(
            sketches[:1], ["p"], networks, table[:1], torch.ones(1).double(), distances[:1], card={}
        )
