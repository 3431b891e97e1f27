"""A deployed network: what it is asked with files, it answers as `predict` does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.evaluate import Model, draft_of
from snt_zoo.networks.export.agreement import compare, shipped_images
from snt_zoo.networks.export.deployed import Deployed, description
from snt_zoo.networks.model_folder import LoadedModel
from tests.conftest import TINY, MakeSupernet
from tests.networks.export.making import ensemble, loaded


def run(model: Model) -> object:
    deployed = Deployed(model).eval()

    def call(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return deployed(torch.from_numpy(images)).numpy()

    return call


@pytest.mark.parametrize("name", TINY)
def test_it_answers_as_the_network_does(name: str, make_supernet: MakeSupernet) -> None:
    given = loaded(DerivedModel.inherit(make_supernet(TINY[name])).eval())
    found = compare(run(given.model), given, shipped_images()[::3])  # type: ignore[arg-type]
    assert found.largest < 1e-5
    assert found.top == 1


def test_members_of_an_ensemble_see_their_own_size(make_supernet: MakeSupernet) -> None:
    given = loaded(ensemble(make_supernet))
    assert isinstance(given.model, Ensemble)
    assert draft_of(given.model) == 2 * max(m.config.input_size for m in given.model.networks)
    assert compare(run(given.model), given, shipped_images()[::3]).largest < 1e-5  # type: ignore[arg-type]


def test_it_says_what_it_is(make_supernet: MakeSupernet) -> None:
    given = loaded(ensemble(make_supernet))
    said = description(given, more={"a": 1})
    assert all(isinstance(text, str) for text in said.values())
    assert json.loads(said["class_names"]) == list(given.class_names)
    assert json.loads(said["licences"]) == given.licences
    assert json.loads(said["accuracy"]) == given.accuracy
    assert (said["source"], json.loads(said["more"])) == (given.source, {"a": 1})
    assert len(json.loads(said["networks"])) == 2
    assert isinstance(given, LoadedModel)
