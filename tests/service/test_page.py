"""The page in a browser: what people do with it, with a keyboard too, on a small screen, in light and dark.

Needs playwright and a chromium of the system (`apt-get install chromium`); skipped without.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snt_zoo import open_dataset
from snt_zoo.data import ImageDataset
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import Run, RunOptions
from snt_zoo.service.app import create_app
from snt_zoo.service.settings import Settings
from snt_zoo.zoo import Zoo
from tests.service.making import listening
from tests.service.page.making import write_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = ((360, 740), (1280, 900))
PAGES = ("/", "/?word=arrow", "/supernets", "/query", "/compare", "/runs", "/runs/photos-1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def address(starter: Zoo, runs: Path) -> Iterator[str]:
    """Where the starter zoo is served."""
    with listening(create_app(starter, Settings(runs=runs))) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this system")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page at which nothing may go wrong: no error on the console, no request to elsewhere."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    # What is wrong with an upload is answered with 422, which chromium itself writes to the console.
    opened.on(
        "console",
        lambda said: (
            wrong.append(said.text)
            if said.type in ("error", "warning") and "status of 422" not in said.text
            else None
        ),
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda sent: None if sent.url.startswith(address) else wrong.append(sent.url))
    yield opened
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def run(runs: Path, digits: ImageDataset) -> Run:
    """A run that goes on, whose files it writes itself."""
    options = RunOptions(Budget(seconds=600.0), folder=runs / "photos-1", spent=12.0)
    begun = Run(options, settings={"source": "auto"}, val=digits.val)
    begun.record("head", 0.41)
    begun.record("search", 0.52, loss=1.5)
    begun.save("search", {}, {})
    return begun


def _has(page: Page, selector: str, count: int) -> None:
    """Wait until so many are there."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count, timeout=20_000)


def _serious(page: Page) -> list[str]:
    """What axe-core finds serious; nothing where it is not installed."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        return []
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def test_the_map_tells_of_a_dot_and_opens_it(page: Page) -> None:
    page.goto("/")
    dot = page.locator('.dot[aria-label="nb201-font-thai"]')
    dot.hover()
    details = page.locator("#details")
    assert "46 classes: ก" in details.inner_text()
    page.mouse.move(0, 0)
    assert details.is_hidden()
    dot.focus()
    assert "font_thai" in details.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url("**/supernets/nb201-font-thai-*")
    assert page.locator("h1").inner_text() == "nb201-font-thai"
    assert page.locator(".snt-svg .edge").count() == 4


def test_a_search_lights_dots_while_one_types(page: Page) -> None:
    page.goto("/")
    total = page.locator(".dot").count()
    page.get_by_label("Find a class").press_sequentially("arrow")
    page.wait_for_selector(".dot.lit")
    lit = page.locator(".dot.lit").count()
    assert 0 < lit < total
    assert page.locator(".hits li").count() == lit
    assert "word=arrow" in page.url


def test_the_list_is_filtered_and_sorted(page: Page, starter: Zoo) -> None:
    page.goto("/supernets")
    page.select_option("#space", "darts")
    _has(page, "tbody tr", 2)
    page.goto("/supernets?sort=-params")
    shown = page.locator("tbody tr td:nth-child(2)").evaluate_all("all => all.map(one => one.title)")
    sizes = [int(text.replace(",", "")) for text in shown]
    assert sizes == sorted((record.params for record in starter.list()), reverse=True)
    page.get_by_role("link", name="parameters").click()
    page.wait_for_url("**sort=params*")


def test_a_dropped_folder_is_ranked_as_the_command_line_does(
    page: Page, starter: Zoo, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path)
    page.goto("/query")
    page.set_input_files("#folder", folder)
    assert "36 files" in page.locator("#picked").inner_text()
    page.get_by_role("button", name="Find supernets").click()
    page.wait_for_selector("#matches", timeout=120_000)
    ranking = page.locator("[data-match]").evaluate_all("all => all.map(one => one.dataset.match)")
    assert ranking == [match.id for match in starter.query(open_dataset(folder), k=5)]
    assert page.locator(".here").count() == 1
    assert page.locator(".reasons article").count() == 5
    assert "Your data has 3 classes and 36 images" in page.locator("#answer").inner_text()
    assert _serious(page) == []
    page.locator("[data-match]").first.click()
    page.wait_for_url("**/supernets/*")
    page.evaluate("history.back()")
    _has(page, "[data-match]", 5)  # the answer is still there


def test_what_is_wrong_with_an_upload_stands_in_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.zip").write_bytes(b"no zip")
    page.goto("/query")
    page.set_input_files("#file", tmp_path / "notes.zip")
    page.get_by_role("button", name="Find supernets").click()
    page.get_by_role("alert").wait_for()


def test_what_the_gate_refuses_is_told_too(page: Page, tmp_path: Path) -> None:
    """In JSON, before the page sees it."""
    page.goto("/query")
    refused = {"error": {"kind": "TooLargeError", "message": "this route takes at most 5 bytes"}}
    page.route("**/query", lambda route: route.fulfill(status=422, json=refused))
    page.set_input_files("#file", write_folder(tmp_path) / "red" / "0.png")
    page.get_by_role("button", name="Find supernets").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == "this route takes at most 5 bytes"


def test_a_live_run_is_followed(page: Page, run: Run) -> None:
    page.goto("/runs")
    page.get_by_role("link", name="photos-1").click()
    assert "goes on (supernet)" in page.locator(".lead").inner_text()
    before = page.locator(".snt-svg circle").count()
    run.record("search", 0.66, loss=1.2)
    run.save("search", {}, {})
    _has(page, ".snt-svg circle", before + 1)
    assert "66.0 %" in page.locator(".tiles").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "time left" in page.locator(".tiles").inner_text()


def test_everything_can_be_read_without_scripts(browser: Browser, address: str, run: Run) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.locator("#word").fill("arrow")
    page.get_by_role("button", name="Find").click()
    assert 0 < page.locator(".dot.lit").count() < page.locator(".dot").count()
    page.goto("/supernets")
    page.locator("#max_params").fill("100k")
    page.get_by_role("button", name="Show").click()
    assert "max_params=100k" in page.url
    page.goto("/runs/photos-1")
    assert page.locator(".snt-svg").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}px")
def test_nothing_is_cut_off_and_axe_finds_nothing_serious(
    browser: Browser, address: str, run: Run, starter: Zoo, scheme: Any, size: tuple[int, int]
) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    context = browser.new_context(
        base_url=address, color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
    )
    page = context.new_page()
    one, other = (
        record.id for record in (starter.show("nb201-font-thai"), starter.show("nb201-generalist-all"))
    )
    for path in (*PAGES, f"/supernets/{one}", f"/supernets/{other}", f"/compare?a={one}&b={other}"):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size[0], f"{path} is {wide} pixels wide"
        assert _serious(page) == [], path
    context.close()
