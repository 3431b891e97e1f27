from __future__ import annotations

import json

import pytest

from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import NetworkConfig
from tests.conftest import TINY, MakeSupernet


@pytest.mark.parametrize("config", TINY.values())
def test_a_genotype_survives_json_and_nothing_else_does(
    config: NetworkConfig, make_supernet: MakeSupernet
) -> None:
    genotype = make_supernet(config).genotype()
    assert Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype
    for wrong in (None, [], {"space": "darts"}, {"space": "x", "cells": {"a": [[0, 1]]}}, {"cells": 3}):
        with pytest.raises(ConfigError, match="a genotype must be"):
            Genotype.from_json(wrong)
