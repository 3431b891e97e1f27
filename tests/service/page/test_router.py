"""Every page over HTTP: its policy, nothing from elsewhere, hostile names, plain forms, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.service.page.router import FILES
from snt_zoo.service.page.templating import HEADERS
from snt_zoo.service.settings import UPLOAD_BYTES
from snt_zoo.zoo import Zoo
from tests.service.page.conftest import Clients
from tests.service.page.making import HOSTILE, pictures, zipped


def addresses(hostile: str) -> Iterator[str]:
    yield from ("/", "/supernets", f"/supernets/{hostile}", "/query", "/compare", "/runs")
    for word in ("class", HOSTILE, "'\">"):
        yield f"/?word={word}"
        yield f"/supernets?word={word}&tag=&licence=&max_params=&max_macs="
    yield f"/supernets?max_params={HOSTILE}"
    yield f"/supernets/{HOSTILE}"
    yield f"/compare?a={hostile}&b={hostile}"
    yield f"/compare?a={HOSTILE}&b=x"
    yield f"/runs/{HOSTILE}"


def test_every_page_has_the_policy_loads_nothing_and_escapes(client: Clients, hostile: str) -> None:
    browser = client()
    for address in addresses(hostile):
        answer = browser.get(address)
        assert answer.status_code in (200, 404, 422), address
        if "text/html" not in answer.headers["content-type"]:
            assert answer.status_code == 404  # no route has that path
            continue
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        text = answer.text
        assert HOSTILE not in text, address
        assert "<script>" not in text
        assert not re.search(r"\sstyle=|<style|\son\w+\s*=\s*[\"']|javascript:", text), address
        for reference in re.findall(r"""(?:href|src|action|hx-get|hx-post)=["']([^"']*)""", text):
            assert reference.startswith(("/", "#")), (address, reference)
            assert not reference.startswith("//"), (address, reference)


def test_hostile_texts_are_shown_as_they_are(client: Clients, hostile: str) -> None:
    text = client().get(f"/supernets/{hostile}").text
    assert unescape(text).count(HOSTILE) > 5
    assert text.count("&lt;script&gt;") > 5


def test_the_list_works_as_a_plain_form(client: Clients) -> None:
    browser = client()
    text = browser.get("/supernets").text
    assert re.search(r'<form class="filters" method="get" action="/supernets"', text)
    assert "2 supernets fit" in text
    assert "1 supernet fits" in browser.get("/supernets", params={"word": "leaves"}).text
    assert "No supernet fits" in browser.get("/supernets", params={"space": "darts"}).text
    wrong = browser.get("/supernets", params={"max_params": "many", "tag": "tiny"})
    assert wrong.status_code == 422
    assert "write it as 2M" in wrong.text
    assert 'value="tiny"' in wrong.text  # what was written stays


def test_the_map_lights_what_a_word_fits(client: Clients) -> None:
    text = client().get("/", params={"word": "leaves"}).text
    assert len(re.findall(r'class="dot [^"]*\blit"', text)) == 1
    assert len(re.findall(r'class="dot [^"]*\bdim"', text)) == 1
    assert "class 0, class 1, class 2" in unescape(text)  # told of each dot, without scripts


def test_an_empty_registry_says_what_to_do(client: Clients, tmp_path: Path) -> None:
    browser = client(Zoo(Registry.open(tmp_path / "empty")))
    assert "snt-zoo add" in browser.get("/").text
    assert "No supernet fits" in browser.get("/supernets").text


def test_a_comparison_draws_which_class_lies_near_which(client: Clients, registry: Registry) -> None:
    ids = sorted(registry.ids(Filter()))
    text = client().get("/compare", params={"a": ids[0], "b": ids[0]}).text
    assert "The distance is 0.000." in text
    assert text.count("class 1 ~ class 1") == 1
    assert "no supernet" in client().get("/compare", params={"a": "nothing", "b": ids[0]}).text


def test_a_supernet_is_found_by_its_name_and_alias(client: Clients, shapes: str) -> None:
    browser = client()
    for word in (shapes, "shapes", "shapes@best"):
        text = browser.get(f"/supernets/{word}").text
        # Whoever sees the page can run it: the weights are fetched from the service.
        assert f"snt-zoo --zoo http://localhost finetune YOUR_IMAGES --from {shapes}" in text
    missing = browser.get("/supernets/nothing")
    assert missing.status_code == 404
    assert "no supernet" in missing.text


def test_files_are_those_of_the_page_and_no_others(client: Clients) -> None:
    browser = client()
    for name, kind in FILES.items():
        answer = browser.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    for name in ("nothing.css", "..%2frouter.py", "%2e%2e/router.py", ".", "page.css/"):
        assert browser.get(f"/static/{name}").status_code == 404


def sent(files: dict[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """As a browser sends them: the other field is empty, and has no name."""
    return [*(("files", (name, content)) for name, content in files.items()), ("files", ("", b""))]


@pytest.fixture(scope="module")
def asked(starter: Zoo) -> list[str]:
    """What `Zoo.query` answers to the same pictures."""
    import tempfile

    from snt_zoo import open_dataset
    from tests.service.page.making import write_folder

    with tempfile.TemporaryDirectory() as folder:
        return [match.id for match in starter.query(open_dataset(write_folder(Path(folder))), k=5)]


@pytest.mark.parametrize("as_zip", [False, True])
def test_an_upload_is_ranked_as_the_same_folder_is(
    client: Clients,
    starter: Zoo,
    asked: list[str],
    as_zip: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(uploads))
    files = {"photos.zip": zipped(pictures())} if as_zip else pictures()
    answer = client(starter).post("/query", data={"k": "5"}, files=sent(files))
    assert answer.status_code == 200
    assert re.findall(r'data-match="([^"]+)"', answer.text) == asked
    assert "Your data has 3 classes and 36 images" in answer.text
    assert 'class="here"' in answer.text
    assert answer.text.count('class="links"') == 5
    for name in ("red", "green", "blue"):
        assert f">{name}<" in answer.text
    assert list(uploads.iterdir()) == []  # nothing of it is left


@pytest.mark.parametrize(
    ("files", "data", "said"),
    [
        ({}, {}, "choose a folder"),
        ({"notes.txt": b"no image"}, {}, "no image was sent"),
        ({"broken.zip": b"PK nothing"}, {}, "cannot be read"),
        ({"broken.npz": b"nothing"}, {}, ""),
        (pictures(), {"k": "many"}, "a number from 1 to 20"),
        (pictures(), {"max_params": "few"}, "is not a count"),
        (pictures(), {"max_params": "1"}, "meets the constraints"),
        ({"a/../../b/1.png": b"x", "c/1.png": b"y"}, {}, ""),
    ],
)
def test_what_is_wrong_with_an_upload_stands_in_the_page(
    client: Clients, starter: Zoo, files: dict[str, bytes], data: dict[str, str], said: str
) -> None:
    answer = client(starter).post("/query", data=data, files=sent(files))
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert said in unescape(answer.text)
    assert "/tmp" not in answer.text
    assert "<form" in answer.text


def test_more_than_is_taken_is_refused(client: Clients, starter: Zoo) -> None:
    browser = client(starter, max_images=10)
    answer = browser.post("/query", files=sent(pictures()))
    assert answer.status_code in (413, 422)
    assert "10" in answer.text
    answer = browser.post("/query", files=sent({"a/1.png": b"x" * (UPLOAD_BYTES + 1)}))
    assert answer.status_code == 413
    assert answer.json()["error"]["kind"] == "TooLargeError"  # by the gate: nothing of it was read


def test_runs_are_shown_if_a_folder_was_given(client: Clients, tmp_path: Path) -> None:
    assert "--runs" in client().get("/runs").text
    (tmp_path / "runs" / "photos-1").mkdir(parents=True)
    browser = client(runs=tmp_path / "runs")
    assert "photos-1" in browser.get("/runs").text
    assert "The run begins" in browser.get("/runs/photos-1").text
    for name in ("nothing", "%2e%2e%2f", "photos-1%2f..", "notes"):
        assert browser.get(f"/runs/{name}").status_code == 404
