"""The page of one run: on this machine alone, while it goes on."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snt_zoo.service.page.watching import run_app, watched


def test_it_is_served_while_the_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "photos 1"
    folder.mkdir()
    with watched(folder) as address:
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
        assert "photos 1" in text
        assert "The run begins" in text
        assert "<nav" not in text  # there are no other pages
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2)


def test_it_is_shown_to_nobody_who_calls_it_by_another_name(tmp_path: Path) -> None:
    with TestClient(run_app(tmp_path), base_url="http://elsewhere.example") as browser:
        assert browser.get("/").status_code == 421


def test_only_the_page_and_its_files_are_there(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with TestClient(run_app(tmp_path), base_url="http://localhost") as browser:
        assert browser.get("/static/page.css").status_code == 200
        for path in ("/static/secret.txt", "/secret.txt", "/runs/x/secret.txt", "/docs", "/openapi.json"):
            assert browser.get(path).status_code == 404
