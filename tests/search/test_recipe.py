from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snt_zoo.errors import ConfigError
from snt_zoo.search.recipe import Recipe


@pytest.mark.parametrize("recipe", [Recipe(), Recipe.for_pretraining(), Recipe.for_transfer()])
def test_every_field_is_read_from_its_text(recipe: Recipe) -> None:
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in vars(recipe).items()}
    found = Recipe(mixed_batches=True, regularisers=(), alpha_betas=(0.1, 0.2)).override(texts)
    assert found == recipe
    assert all(type(value) is type(getattr(recipe, name)) for name, value in vars(found).items())


def test_what_is_not_named_keeps_its_value() -> None:
    changes = {"regularisers": "", "mixed_batches": "yes", "batch_size": 8}
    expected = replace(Recipe.for_transfer(), regularisers=(), mixed_batches=True, batch_size=8)
    assert Recipe.for_transfer().override(changes) == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Recipe(searcher="drnas"), "the fields to change"),
        ({"seacher": "drnas"}, "did you mean searcher"),
        ({"": 1}, "choose one of searcher, batch_size"),
        ({"batch_size": "many"}, "of the type int"),
        ({"batch_size": 1.5}, "of the type int"),
        ({"weight_lr": None}, "of the type float"),
        ({"mixed_batches": "perhaps"}, "of the type bool"),
        ({"searcher": 3}, "of the type str"),
        ({"alpha_betas": "0.5,x"}, "of the type tuple"),
    ],
)
def test_anything_else_is_refused_with_what_would_do(wrong: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Recipe().override(wrong)
