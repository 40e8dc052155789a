"""A real Chromium without a window, driven through its own chromedriver.

It needs both (Debian: `chromium`, `chromium-driver`). It knows no name and no address but
127.0.0.1, so what a page wants from elsewhere, such as a font, is not there.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Self

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from desktops import need

if TYPE_CHECKING:
    from pathlib import Path

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has none, and CI is root
    "--disable-dev-shm-usage",  # a container has little shared memory
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_DEADLINE = 120.0  # seconds; only for what hangs


class Chromium:
    """One window of a browser that nobody has used before, with its profile in `folder`."""

    def __init__(self, folder: Path) -> None:
        need("chromium", "chromedriver")
        options = ChromeOptions()
        options.binary_location = _path("chromium")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(argument)
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        # By its path: else Selenium looks for a driver on the network.
        service = ChromeService(_path("chromedriver"), env=environ)
        self._driver = Chrome(options=options, service=service)
        self._driver.set_page_load_timeout(_DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._driver.quit()

    # -- what its user does --------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to a web address, and wait for the page."""
        self._driver.get(url)

    def type(self, field: str, text: str) -> None:
        """Type into the field of that name."""
        self._driver.find_element(By.NAME, field).send_keys(text)

    def press(self, label: str) -> None:
        """Press the button or the link that says so, and wait for all of the next page."""
        here = self._driver.find_element(By.TAG_NAME, "html")
        found = f"//*[self::button or self::a][normalize-space()='{label}']"
        self._driver.find_element(By.XPATH, found).click()
        WebDriverWait(self._driver, _DEADLINE).until(
            lambda driver: (
                driver.find_element(By.TAG_NAME, "html") != here
                and driver.execute_script("return document.readyState") == "complete"
            )
        )

    # -- what its user sees --------------------------------------------------------------

    @property
    def address(self) -> str:
        """What its address bar has."""
        return str(self._driver.current_url)

    @property
    def text(self) -> str:
        """The text of the page."""
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def requests(self) -> list[str]:
        """The web addresses that it asked for, in order, pages and their parts.

        A second call has those since the first. Its own pages, as of an empty tab, do not count.
        """
        entries = self._driver.get_log("performance")  # type: ignore[no-untyped-call]  # it has none
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        urls = [str(each["params"]["request"]["url"]) for each in sent]
        return [url for url in urls if url.startswith("http")]


def _path(tool: str) -> str:
    path = shutil.which(tool)
    assert path is not None
    return path
