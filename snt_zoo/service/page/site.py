"""The pages of a zoo: each method computes what one shows and answers it. They block; threads call them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from snt_zoo.data import ImageDataset
from snt_zoo.data.passed_over import lines
from snt_zoo.encoders.target import Target
from snt_zoo.errors import NotInRegistryError, RequestError, SntZooError
from snt_zoo.networks.spaces import list_spaces
from snt_zoo.search.adapting.drawing import STAGES, draw_history
from snt_zoo.service.failures import status_of, without_paths
from snt_zoo.service.page.answer import Answer, found_of, spot_of, verdict_of
from snt_zoo.service.page.classes import ClassNames
from snt_zoo.service.page.entry import program, settings_of, show
from snt_zoo.service.page.links import Link, draw_links
from snt_zoo.service.page.listing import COLUMNS, Asked, list_supernets
from snt_zoo.service.page.runs import RunView, list_runs
from snt_zoo.service.page.templating import page, spell
from snt_zoo.service.page.zoo_map import Atlas
from snt_zoo.service.receiving import image_dataset
from snt_zoo.service.settings import UPLOAD_BYTES, Settings
from snt_zoo.zoo import Zoo

_ANSWERS = 5  # of a query, unless more are asked for
_MOST_ANSWERS = 20
_LONGEST = 200  # signs of a field
_PAIRS = 24  # of classes that a comparison shows
_HITS = 60  # supernets that are named below the map


NOTHING_SENT = "no file was sent: choose a folder of class folders, a .zip of one, or an .npz"


class Site:
    """The pages of a zoo.

    Args:
        zoo: that is shown.
    """

    def __init__(self, zoo: Zoo) -> None:
        self.zoo = zoo
        self.classes = ClassNames()
        self.atlas = Atlas(zoo.registry, self.classes)

    def map(self, fields: Mapping[str, str]) -> HTMLResponse:
        """The map; with `word` what it fits is lit."""
        word = _text(fields, "word")
        drawn, records = self.atlas.current()
        fitting = [record for record in records if word and self.classes.fits(record, word)]
        return page(
            "map.html.j2",
            here="/",
            zoo=drawn,
            word=word,
            error="",
            lit={record.id for record in fitting} if word else None,
            hits=[(record, self.classes.found(record, word)) for record in fitting[:_HITS]],
        )

    def list(self, fields: Mapping[str, str]) -> HTMLResponse:
        """The list, filtered and sorted."""
        listing, error = None, ""
        try:
            asked = Asked.of(fields)
            listing = list_supernets(self.zoo.registry, self.classes, asked)
        except SntZooError as wrong:
            asked, error = Asked.as_written(fields), self._said(wrong)
        return page(
            "list.html.j2",
            status=422 if error else 200,
            here="/supernets",
            asked=asked,
            listing=listing,
            error=error,
            columns=COLUMNS,
            spaces=list_spaces(),
            tags=[group.name for group in self.atlas.current()[0].groups],
        )

    def entry(self, id: str, *, url: str = "") -> HTMLResponse:
        """The page of a supernet; `url` as of `show`."""
        entry = show(self.zoo.registry, self.classes, id, url=url)
        settings = {} if entry.config is None else settings_of(entry.config)
        return page("entry.html.j2", here="/supernets", entry=entry, settings=settings)

    def compare(self, fields: Mapping[str, str], *, url: str = "") -> HTMLResponse:
        """Two supernets compared, by the data that they were trained on."""
        a, b, error = "", "", ""
        found, drawn, one, other = None, None, "", ""
        try:
            a, b = _text(fields, "a"), _text(fields, "b")
            if a and b:
                one, other = (self.zoo.registry.resolve(each) for each in (a, b))
                found = self.zoo.distance(one, other)
                pairs = [
                    Link(match.target, match.source_class, match.distance, match.mass)
                    for match in found.transport.matches
                ]
                drawn = draw_links(pairs, most=_PAIRS)
        except SntZooError as wrong:
            error, found = self._said(wrong), None
        return page(
            "compare.html.j2",
            status=422 if error else 200,
            here="/compare",
            a=a,
            b=b,
            command=f"{program(url)} distance {one} {other}",
            found=found,
            drawn=drawn,
            most=_PAIRS,
            error=error,
            records=self.atlas.current()[1],
        )

    def ask(
        self,
        fields: Mapping[str, str],
        settings: Settings,
        files: Sequence[tuple[str, BinaryIO]] | None = None,
        *,
        wrong: SntZooError | None = None,
        url: str = "",
    ) -> HTMLResponse:
        """The form of a query, and with files its answer.

        Args:
            fields: of the form.
            settings: bounds of the upload.
            files: as of `image_dataset`; a browser sends one without a name for an empty field.
            wrong: with what was sent.
            url: as of `show`.
        """
        answer = None
        try:
            if wrong is not None:
                raise wrong
            if files is not None:
                answer = self._answer(fields, settings, [file for file in files if file[0]])
        except SntZooError as error:
            wrong = error
        return page(
            "query.html.j2",
            status=200 if wrong is None else status_of(wrong),
            here="/query",
            answer=answer,
            error="" if wrong is None else self._said(wrong),
            bounds={"files": settings.max_images, "total": UPLOAD_BYTES},
            zoo=self.atlas.current()[0],
            spaces=list_spaces(),
            most=_MOST_ANSWERS,
            asks=f"{program(url)} query YOUR_IMAGES",
            command=f"{program(url)} finetune YOUR_IMAGES --budget 10m",
            **{key: fields.get(key, "")[:_LONGEST] for key in ("space", "max_params", "max_macs")},
            k=fields.get("k", "")[:3] or str(_ANSWERS),
        )

    def _answer(
        self, fields: Mapping[str, str], settings: Settings, files: Sequence[tuple[str, BinaryIO]]
    ) -> Answer:
        if not files:
            raise RequestError(NOTHING_SENT)
        k, asked = _count(fields.get("k", "")), Asked.of(fields).filter()
        start = time.perf_counter()
        with image_dataset(files, settings) as data:
            target = Target.of(data)
            result = self.zoo.query(
                target, k=k, space=asked.space, max_params=asked.max_params, max_macs=asked.max_macs
            )
        drawn, _ = self.atlas.current()
        name, level, _ = result.ranked_by
        spot = None
        if drawn.dots:
            spot = spot_of(drawn, drawn.place(self.zoo.registry.embed(target.sketch)), result.matches)
        return Answer(
            classes=data.num_classes,
            images=_images(data),
            verdict=verdict_of(result),
            close=result.close,
            found=found_of(result),
            ranked_by=name if level in name else f"{name}, {level}",
            seconds=time.perf_counter() - start,
            spot=spot,
            passed_over=tuple(without_paths(line, self.zoo.registry.home) for line in lines(data.account())),
        )

    def runs(self, folder: Path | None) -> HTMLResponse:
        """The runs of a folder."""
        runs = () if folder is None else list_runs(folder, now=time.time())
        return page("runs.html.j2", here="/runs", watched=folder is not None, runs=runs, stages=STAGES)

    def run(self, folder: Path | None, name: str) -> HTMLResponse:
        """One of them, by the name of its folder: no path is made of it."""
        runs = () if folder is None else list_runs(folder, now=time.time())
        run = next((run for run in runs if run.name == name), None)
        if run is None:
            raise NotInRegistryError(f"no run {name[:80]!r}: see the list of runs")
        return run_page(run)

    def failed(self, error: SntZooError) -> HTMLResponse:
        """The page that says what went wrong."""
        status = status_of(error)
        title = "There is no such thing" if status == 404 else "That did not work"
        return page("error.html.j2", status=status, here="", title=title, message=self._said(error))

    def answer(self, show: Callable[..., HTMLResponse], *args: Any, **kwargs: Any) -> HTMLResponse:
        """A page, or what went wrong with it."""
        try:
            return show(*args, **kwargs)
        except SntZooError as error:
            return self.failed(error)

    def _said(self, error: SntZooError) -> str:
        return without_paths(str(error), self.zoo.registry.home)


def run_page(run: RunView, *, alone: bool = False) -> HTMLResponse:
    """The page of a run, which asks anew while it goes on; `alone` where there are no other pages."""
    curve = Markup(draw_history(run.history, styled=False)) if run.history else None
    share = None if run.left is None else math.floor(100 * run.seconds / max(run.seconds + run.left, 1e-9))
    return page(
        "run.html.j2",
        here="/runs",
        alone=alone,
        run=run,
        curve=curve,
        share=share,
        sentence=sentence_of(run),
    )


def sentence_of(run: RunView) -> str:
    """How a run stands, in a sentence."""
    if run.phase == "begins":
        return "The run begins: it reads the images, and nothing was measured yet."
    if run.phase == "ended":
        returned = {"probe": "the linear probe", "ensemble": "the network and the probe together"}
        what = returned.get(run.returned, "the network of the search")
        return f"The run has ended. Handed back was {what}; its report lies in the run's folder."
    if run.phase == "quiet":
        return (
            f"Nothing was written for {spell(run.age)}: the run was stopped, or one step takes long. "
            "The same command with --resume goes on with it."
        )
    stage = STAGES.get(run.stage, (run.stage,))[0]
    return f"The run goes on ({stage}). Its files were written {spell(run.age)} ago."


def _text(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name, "").strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise RequestError(f"{name} must be a line of at most {_LONGEST} signs: shorten it")
    return text


def _count(text: str) -> int:
    if not text:
        return _ANSWERS
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= _MOST_ANSWERS):
        raise RequestError(f"answers must be a number from 1 to {_MOST_ANSWERS}, got {text[:20]!r}")
    return int(text)


def _images(data: ImageDataset) -> int:
    return sum(len(split) for split in (data.train, data.val, data.test))
