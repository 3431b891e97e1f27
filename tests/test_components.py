"""Components by name, whatever they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snt_zoo.components import Components
from snt_zoo.errors import UnknownComponentError


class Shape:
    name: str


@pytest.fixture
def shapes() -> Components[type[Shape]]:
    return Components("shape")


def test_a_class_is_found_by_its_name_and_knows_it(shapes: Components[type[Shape]]) -> None:
    @shapes.register("round")
    class Round(Shape):
        pass

    assert shapes.get("round") is Round
    assert Round.name == "round"


def test_functions_and_values_are_left_as_they_are() -> None:
    builders: Components[Callable[[], int]] = Components("builder")

    @builders.register("seven")
    def build() -> int:
        return 7

    assert builders.get("seven") is build and not hasattr(build, "name")
    nothing: Components[type[Shape] | None] = Components("shape")
    nothing.register("none")(None)
    assert nothing.get("none") is None


def test_names_are_sorted(shapes: Components[type[Shape]]) -> None:
    for name in ("square", "round", "flat"):
        shapes.register(name)(type(name, (Shape,), {}))
    assert shapes.names() == ["flat", "round", "square"]


def test_a_name_is_given_once(shapes: Components[type[Shape]]) -> None:
    shapes.register("round")(Shape)
    with pytest.raises(ValueError, match=r"^shape 'round' is registered already: choose another name$"):
        shapes.register("round")(type("Other", (Shape,), {}))
    assert shapes.get("round") is Shape


def test_an_unknown_name_lists_what_there_is() -> None:
    shapes: Components[int] = Components("shape", "round:RADIUS")
    shapes.register("square")(4)
    shapes.register("flat")(0)
    with pytest.raises(
        UnknownComponentError, match=r"^no shape 'tall': choose one of flat, square, round:RADIUS$"
    ):
        shapes.get("tall")
    with pytest.raises(
        UnknownComponentError, match=r"^no shape 'sqare' \(did you mean 'square'\?\): choose one of"
    ):
        shapes.get("sqare")


def test_kinds_do_not_share_their_names(shapes: Components[type[Shape]]) -> None:
    shapes.register("round")(Shape)
    assert Components("colour").names() == []
