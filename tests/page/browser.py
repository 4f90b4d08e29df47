"""A real browser for the tests of the exported page; where there is none, they are skipped and say so."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks.page import NAMES, chromium, executable


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """A headless Chromium, or a skipped test."""
    found = executable()
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}, or set FNNET_BROWSER to its file")
    with chromium(found) as browser:
        yield browser


class Opened:
    """A page from the disk, and everything it complained about or asked the network for."""

    def __init__(self, browser: Any, path: Path, **settings: Any):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | settings)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.url = path.as_uri()

    def check_quiet(self) -> None:
        assert self.complaints == []
        assert self.requests == [self.url]
