"""What a finetuning hands back, and the folder that it is saved to.

```
config.json, model.safetensors, genotype.json, seen.safetensors
              the network (`snt_zoo.networks.model_folder`)
report.json   the run, as `snt-zoo finetune --json` prints it
report.html   the same to look at
derived/      where another network is handed back: that of the search, such a folder itself
pareto/N/     with `pareto` each network, from the smallest on: such a folder too, without a report
```
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.model_folder import model_files, write_into
from snt_zoo.networks.supernet import Supernet
from snt_zoo.networks.trained_on import TrainedOn
from snt_zoo.search.adapting.front import Front
from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.run import EpochRecord
from snt_zoo.version import __version__

DERIVED = "derived"
"""Folder within a model's folder: the network of the search, where another one is handed back."""
PARETO = "pareto"
"""Folder within a model's folder: the networks of a front, each in a folder named by its number."""


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What a run hands back.

    Args:
        model: the network, in eval mode on the CPU: the derived one, unless `returned` says otherwise.
        supernet: the adapted supernet at its best epoch, on the CPU.
        genotype: the architecture of `model`; of an ensemble that of the derived network.
        accuracy: of `model`: ``{"val": …, "test": …}``, from 0 to 1.
        steps: validation accuracy on the way: of the `supernet`, of the network that `inherited` its
            weights, `recalibrated`, and `finetuned`.
        params: weights of `model`.
        macs: multiply-accumulates of `model` for one image.
        history: a record for each epoch.
        seconds: wall clock of the run.
        source: id of the supernet it came from, or `"scratch"`.
        class_names: in the order of the outputs.
        settings: what the run was asked to do.
        search: how the architecture was found: searcher, regularisers (what fired, and when), selection and
            constraints; plain data.
        warnings: what the user should know about it.
        race: of each candidate what it came to (`snt_zoo.search.adapting.race`); empty without a race.
        returned: what `model` is: `"derived"`; or, where that did better on validation
            (`snt_zoo.search.adapting.floor`), `"probe"`, a linear probe, or `"ensemble"`, the derived network
            and the probe together. `steps`, `history` and `supernet` are those of the search.
        probe: what the probe came to, as plain data; None where there was none.
        ensemble: where an ensemble is handed back, its `weights` (of the derived network and of the probe),
            its `cross_entropy` on validation in nats and that of the best network `alone`; else None.
        derived: where another network is handed back, the result of the search itself; else None.
        licences: of what `model` was made from, a supernet and the datasets that it was trained on, by name.
        trained_on: what a saved network tells of the dataset.
        front: of a run with `pareto` networks of several sizes, of which `model` is the most accurate one on
            validation; else None.
    """

    model: Model
    supernet: Supernet
    genotype: Genotype
    accuracy: Mapping[str, float]
    steps: Mapping[str, float]
    params: int
    macs: int
    history: tuple[EpochRecord, ...]
    seconds: float
    source: str
    class_names: tuple[str, ...]
    settings: Mapping[str, Any]
    search: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    race: tuple[Mapping[str, Any], ...] = ()
    returned: str = "derived"
    probe: Mapping[str, Any] | None = None
    ensemble: Mapping[str, Any] | None = None
    derived: FinetuneResult | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    trained_on: TrainedOn | None = None
    front: Front | None = None

    def to_json(self, *, out: str | Path | None = None) -> dict[str, Any]:
        """Plain data with the keys of the command line's contract.

        Args:
            out: where the model was saved.

        Returns:
            Accuracies are from 0 to 1, times in seconds, `date` is UTC in ISO 8601.
        """
        return {
            "from": self.source,
            "returned": self.returned,
            "genotype": self.genotype.to_json(),
            "accuracy": dict(self.accuracy),
            "params": self.params,
            "macs": self.macs,
            "history": [asdict(record) for record in self.history],
            "seconds": self.seconds,
            "out": None if out is None else str(out),
            "steps": dict(self.steps),
            "search": dict(self.search),
            "warnings": list(self.warnings),
            "probe": None if self.probe is None else dict(self.probe),
            "ensemble": None if self.ensemble is None else dict(self.ensemble),
            "race": [dict(row) for row in self.race],
            "derived": None if self.derived is None else self.derived._beside(out),
            "pareto": None if self.front is None else self._front(self.front, out),
            "licences": dict(self.licences),
            "class_names": list(self.class_names),
            "settings": dict(self.settings),
            "micro_batch": {record.stage: record.micro_batch for record in self.history},
            "versions": {
                "snt-zoo": __version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
                "platform": platform.platform(),
            },
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }

    def _beside(self, out: str | Path | None) -> dict[str, Any]:
        """What is told of the network of the search, where another one is handed back."""
        return {
            "genotype": self.genotype.to_json(),
            "accuracy": dict(self.accuracy),
            "params": self.params,
            "macs": self.macs,
            "out": None if out is None else str(Path(out) / DERIVED),
        }

    def _front(self, front: Front, out: str | Path | None) -> dict[str, Any]:
        folders = (None if out is None else str(Path(out) / PARETO / str(n)) for n in itertools.count(1))
        return {
            "networks": [
                point.facts() | {"dominated": dominated, "out": folder}
                for (point, dominated), folder in zip(front.networks, folders, strict=False)
            ],
            "compared": [{"macs": macs, "val_accuracy": share} for macs, share in front.compared],
        }

    def save(self, out: str | Path) -> Path:
        """Write the model, its genotype and the report into a folder, which is made if need be.

        Raises:
            ModelFolderError: the folder cannot be written.
        """
        folder = Path(out)
        write_into(folder, self._files(folder))
        return folder

    def _files(self, folder: Path) -> dict[str, Any]:
        """What is written; the report last, so that where it stands the rest does."""
        below = {} if self.derived is None else self.derived._files(folder / DERIVED)
        document = self.to_json(out=folder)
        networks = [] if self.front is None else self.front.networks
        return {
            **{f"{DERIVED}/{name}": content for name, content in below.items()},
            **{
                f"{PARETO}/{number}/{name}": content
                for number, (point, _) in enumerate(networks, start=1)
                for name, content in self._model_files(point.model, point.accuracy, point.returned).items()
            },
            **self._model_files(self.model, self.accuracy, self.returned),
            "report.html": report_html(document),
            "report.json": document,
        }

    def _model_files(self, model: Model, accuracy: Mapping[str, float], returned: str) -> dict[str, Any]:
        probe = returned == "probe"
        return model_files(
            model,
            class_names=self.class_names,
            source="probe" if probe else self.source,
            accuracy=dict(accuracy),
            licences={} if probe else self.licences,
            trained_on=self.trained_on,
        )
