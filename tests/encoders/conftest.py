"""The dataset that is asked about."""

from __future__ import annotations

import pytest

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import sketch
from snt_zoo.encoders.target import Target
from tests.encoders.making import cheap_backbone


@pytest.fixture(scope="session")
def target(few_digits: ImageDataset) -> Target:
    """200 digits with their sketch."""
    return Target(sketch(few_digits, backbone=cheap_backbone()), few_digits)
