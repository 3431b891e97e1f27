from __future__ import annotations

from typing import Any

import pytest
import torch

from snt_zoo.data import Normalisation

from .making import array_split


class TestNormalisation:
    def test_bytes_and_unit_floats_give_the_same(self) -> None:
        images = array_split(4).tensor(8)
        assert torch.equal(Normalisation()(images), Normalisation()(images.float() / 255))

    def test_leaves_its_input_alone(self) -> None:
        images = torch.rand(2, 3, 4, 4)
        before = images.clone()
        Normalisation()(images)
        assert torch.equal(images, before)

    @pytest.mark.parametrize("wrong", [{"std": (1, 0, 1)}, {"std": (1, 1)}, {"mean": (0, float("nan"), 0)}])
    def test_refuses_what_cannot_be_divided_by(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="expected"):
            Normalisation(**wrong)

    def test_takes_lists_as_a_config_holds_them(self) -> None:
        assert Normalisation(mean=[0, 0, 0], std=[1, 1, 1]) == Normalisation((0, 0, 0), (1, 1, 1))  # type: ignore[arg-type]
