"""A headless Chromium for tests of pages, driven over a pipe with its DevTools protocol: no package is needed for it.

Protocol: chromedevtools.github.io/devtools-protocol; `--remote-debugging-pipe` reads commands from file 3 and writes
answers and events to file 4, JSON texts that end with a zero byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0  # for one answer
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
    "--force-device-scale-factor=1", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip


def installed() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page; `errors` collects the errors in its console, `requests` the addresses it asks for."""

    def __init__(self, program: str, home: Path) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._last = 0
        self._rest = b""
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        start = 'exec "${@:3}" 3<&"$1" 4>&"$2"'
        argv = ["bash", "-c", start, "bash", str(commands), str(answers), program, *FLAGS, f"--user-data-dir={home}"]
        environment = {**os.environ, "HOME": str(home)}
        self._process = subprocess.Popen(
            [*argv, "about:blank"], pass_fds=(commands, answers), env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        pages = self.call("Target.getTargets", whole=True)["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        attach = {"targetId": target, "flatten": True}
        self._session = self.call("Target.attachToTarget", attach, whole=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)  # a browser whose pipe is closed leaves
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, method: str, params: dict[str, Any] | None = None, *, whole: bool = False) -> dict[str, Any]:
        """Send a command, to the page or to the `whole` browser, and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params or {}}
        os.write(self._out, json.dumps(message if whole else message | {"sessionId": self._session}).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._next(end)
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def open(self, path: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Open a file in a window of so many pixels, and wait until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.call("Page.navigate", {"url": path.resolve().as_uri()})
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.value(condition):
            assert time.monotonic() < end, (condition, self.errors)
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which must be plain JSON."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        result = self.call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Bring the first element that `selector` finds into view, and click into its middle with the mouse."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.value(f"(() => {{ const b = {found}.getBoundingClientRect();"
                         " return [b.x + b.width / 2, b.y + b.height / 2]; })()")  # fmt: skip
        where = {"x": box[0], "y": box[1]}
        self.call("Input.dispatchMouseEvent", {"type": "mouseMoved", **where})
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", {"type": kind, "button": "left", "clickCount": 1, **where})

    def press(self, key: str) -> None:
        """Press and release a key by its name."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        values = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key], "text": text}
        self.call("Input.dispatchKeyEvent", {"type": "keyDown" if text else "rawKeyDown", **values})
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **values})

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a screenshot of the window, or of the `whole` page, as PNG."""
        result = self.call("Page.captureScreenshot", {"captureBeyondViewport": whole} | self._clip(whole))
        path.write_bytes(base64.b64decode(result["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _next(self, end: float) -> dict[str, Any]:
        """Return the next message, after taking note of what it says about errors and requests."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "the browser does not answer"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:2000])
        elif message.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(params["args"])[:2000])
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(params["entry"])[:2000])
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        return message
