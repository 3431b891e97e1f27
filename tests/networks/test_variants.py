from __future__ import annotations

import pytest

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs
from snt_zoo.networks.variants import LARGE, OWN, SMALL, random_kinds, variants
from tests.conftest import TINY, MakeSupernet


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "mobile"])
def test_every_variant_is_a_network_of_the_supernet(name: str, make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY[name])
    found = variants(supernet, random_kinds(8))
    assert found[0].kind == OWN and found[0].genotype == supernet.genotype()
    genotypes = [each.genotype for each in found]
    assert all(genotypes.count(genotype) == 1 for genotype in genotypes) and len(found) >= 5
    macs = {each.kind: count_macs(DerivedModel.inherit(supernet, each.genotype)) for each in found}
    assert macs[SMALL] < macs[LARGE]
    assert {SMALL, LARGE} <= macs.keys()


def test_a_kind_is_the_same_whatever_else_is_asked_for(make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY["nas_bench_201"])
    by_kind = {each.kind: each.genotype for each in variants(supernet, random_kinds(9))}
    for kind, genotype in by_kind.items():
        (alone,) = variants(supernet, [kind])
        assert alone.genotype == genotype
    assert random_kinds(2) == [OWN, SMALL] and len(random_kinds(40)) == 40
