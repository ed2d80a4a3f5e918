"""Real headless Chromium, by the WebDriver protocol that Debian's chromium-driver speaks: httpx is all it needs."""

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving.servers import accepts, free_port, wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "ArrowRight": "\ue014", "ArrowLeft": "\ue012"}
ARGUMENTS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
PATIENCE = 20.0


class Browser:
    """One window."""

    def __init__(self, driver: str, options: dict):
        self._http = httpx.Client(base_url=driver, timeout=60, trust_env=False)
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._http.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
        if "sessionId" not in answer:
            pytest.fail(f"Chromium did not start: {answer}")
        self._session = answer["sessionId"]

    def call(self, path, body=None, method="POST"):
        answer = self._http.request(method, f"/session/{self._session}{path}", json={} if body is None else body)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value

    def open(self, address):
        self.call("/url", {"url": address})

    def run(self, script, *args):
        """Run the body of a function and return what it returns, awaited."""
        return self.call("/execute/sync", {"script": script, "args": list(args)})

    def devtools(self, command, **parameters):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def click(self, selector):
        element = self.call("/element", {"using": "css selector", "value": selector})[ELEMENT]
        self.run("arguments[0].scrollIntoView({block: 'center'})", {ELEMENT: element})
        self.call(f"/element/{element}/click")

    def press(self, *keys):
        """Press keys one after another: names of `KEYS`, or text."""
        for key in keys:
            actions = [{"type": kind, "value": one} for one in KEYS.get(key, key) for kind in ("keyDown", "keyUp")]
            self.call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector)

    def wait(self, script, *args):
        """Return what a script returns, once that is true."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.run(script, *args)):
            if time.monotonic() > deadline:
                pytest.fail(f"It stays {found!r}: {script} {args}; {self.log()}; {self.text('body')}")
            time.sleep(0.02)
        return found

    def log(self):
        """Return what the console has said since it was last asked, also of breaches of the CSP."""
        return [f"{one['level']}: {one['message']}" for one in self.call("/se/log", {"type": "browser"})]

    def window(self, width, height, *, dark=False, touch=False):
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch
        )
        self.devtools("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, whole=False):
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self):
        self.call("", method="DELETE")
        self._http.close()


@contextmanager
def chromedriver(folder: Path) -> Iterator[str]:
    """Yield the address of a chromedriver that runs until the end of the block."""
    program = shutil.which("chromedriver")
    if program is None or binary() is None:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    port = free_port()
    with (folder / "chromedriver.txt").open("wb") as log:
        process = subprocess.Popen([program, f"--port={port}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: accepts(port), process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def window(driver: str, profile: Path) -> Iterator[Browser]:
    """Yield a browser with a new profile, and so without cookies."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    one = Browser(driver, {"binary": binary(), "args": [*ARGUMENTS, *as_root, f"--user-data-dir={profile}"]})
    try:
        yield one
    finally:
        one.close()


def binary() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")
