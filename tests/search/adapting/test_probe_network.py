"""The probe's network is the backbone with the probe as its head."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.probe import fit_probe
from snt_zoo.encoders.sketch import Sample
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.search.adapting.probe_network import looks_size, probe_network
from tests.encoders.making import cheap_backbone


def test_the_network_gives_what_the_probe_gives(few_digits: ImageDataset) -> None:
    probe = fit_probe(few_digits, Sample.of(few_digits))
    model = probe_network(probe)
    assert looks_size(("mobilenet_v2",), 10) == (count_parameters(model), count_macs(model))
    images = few_digits.val.subset(torch.arange(8)).tensor(96)
    features = Sample.of(few_digits).backbone.features(images)
    with torch.no_grad():
        found = model(model.config.normalisation(images))
    torch.testing.assert_close(found, probe.logits(features), rtol=1e-3, atol=1e-3)
    assert evaluate(model, few_digits.val) == pytest.approx(probe.val_accuracy, abs=1 / 60 + 1e-9)
    assert count_parameters(model) > 2e6 and count_macs(model) > 40e6
    with pytest.raises(UnknownComponentError, match="not one on cheap"):
        probe_network(fit_probe(few_digits, Sample.of(few_digits, cheap_backbone())))
