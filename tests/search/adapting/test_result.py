from __future__ import annotations

import json

from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.run import EpochRecord


def test_the_json_has_the_keys_of_the_contract_and_no_nan(result: FinetuneResult) -> None:
    report = json.loads(json.dumps(result.to_json(out="runs/x"), allow_nan=False))
    assert report["from"] == result.source
    assert report["accuracy"] == dict(result.accuracy)
    assert Genotype.from_json(report["genotype"]) == result.genotype
    assert [EpochRecord(**record) for record in report["history"]] == list(result.history)
    assert (report["params"], report["macs"]) == (result.params, result.macs)
    assert report["seconds"] == result.seconds
    assert report["out"] == "runs/x"
    assert set(report["steps"]) == {"supernet", "inherited", "recalibrated", "finetuned"}
    assert {"settings", "versions", "date", "class_names"} <= set(report)
