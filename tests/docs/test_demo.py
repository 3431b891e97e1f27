"""The demo page, docs/demo/: what the network answers in a browser is what onnxruntime answers in Python.

Needs playwright and a chromium of the system (`apt-get install chromium`); skipped without.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.docs.test_snippets import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

DEMO = ROOT / "docs" / "demo"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nothing is told."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the folder is served, as any web server would."""
    handler = functools.partial(_Handler, directory=str(DEMO))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    """The page, at which nothing may go wrong: no error on the console, no request to elsewhere."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this system")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        wrong: list[str] = []
        opened.on(
            "console",
            lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None,
        )
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on(
            "request",
            lambda sent: None if sent.url.startswith((address, "blob:", "data:")) else wrong.append(sent.url),
        )
        opened.goto(address)
        yield opened
        browser.close()
        assert wrong == []


def pictures(folder: Path) -> list[Path]:
    """A small letter, noise that is larger than it is high, and one that is reduced by whole blocks first."""
    letter = Image.new("RGB", (40, 40))
    ImageDraw.Draw(letter).text((8, 0), "K", fill="white", font=ImageFont.load_default(36))
    generator = np.random.default_rng(0)
    noise = Image.fromarray(generator.integers(0, 256, (61, 300, 3), dtype=np.uint8))
    large = Image.fromarray(generator.integers(0, 256, (700, 500, 3), dtype=np.uint8))
    made = []
    for name, image in {"letter": letter, "noise": noise, "large": large}.items():
        image.save(folder / f"{name}.png")
        made.append(folder / f"{name}.png")
    return made


@contextlib.contextmanager
def answered(page: Page) -> Iterator[None]:
    """What is asked inside is answered after it."""
    turn = int(page.evaluate("document.body.dataset.answered ?? 0")) + 1
    yield
    page.locator(f'body[data-answered="{turn}"]').wait_for(state="attached", timeout=60_000)


def probabilities(page: Page) -> list[float]:
    found: list[float] = page.evaluate("window.answered.probabilities")
    return found


def answer_in_browser(page: Page, path: Path) -> list[float]:
    with answered(page):
        page.set_input_files("#file", path)
    return probabilities(page)


def test_the_browser_answers_as_onnxruntime_does(page: Page, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(DEMO / "model.onnx", providers=["CPUExecutionProvider"])
    for path in pictures(tmp_path):
        (wanted,) = session.run(None, {"image": np.asarray(Image.open(path).convert("RGB"))[None]})
        assert answer_in_browser(page, path) == pytest.approx(wanted[0].tolist(), abs=1e-5)


def test_a_dropped_image_is_named(page: Page, tmp_path: Path) -> None:
    letter = pictures(tmp_path)[0]
    wanted = answer_in_browser(page, letter)
    with answered(page):
        page.evaluate(
            """(bytes) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "k.png", { type: "image/png" }));
                document.getElementById("drop").dispatchEvent(
                    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""",
            list(letter.read_bytes()),
        )
    assert probabilities(page) == wanted
    assert page.locator("#status").inner_text().startswith("K,")
    assert page.locator("#answers tbody tr").count() == 5


def test_letters_in_the_browsers_own_type_are_read(page: Page) -> None:
    for button in page.locator(".letter").all():
        with answered(page):
            button.click()
        assert page.locator("#status").inner_text().startswith(f"{button.inner_text()},")


def test_what_is_no_image_is_said_to_be_none(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    page.set_input_files("#file", tmp_path / "text.png")
    page.locator("#status", has_text="no image").wait_for()
    page.set_input_files("#file", pictures(tmp_path)[0])  # and the page goes on
    page.locator("#status", has_text="K, in").wait_for()


def test_a_licence_lies_beside_what_is_of_others_and_the_network_is_described() -> None:
    assert "MIT License" in (DEMO / "ort" / "LICENSE").read_text(encoding="utf-8")
    about = json.loads((DEMO / "model.json").read_text(encoding="utf-8"))
    onnxruntime = pytest.importorskip("onnxruntime")
    meta = onnxruntime.InferenceSession(DEMO / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(meta["class_names"]) == about["class_names"]
    assert json.loads(meta["accuracy"])["test"] == about["test_accuracy"]
