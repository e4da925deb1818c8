"""A real browser without a window, driven over a pipe by the DevTools protocol."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--remote-debugging-pipe")
PATIENCE = 120  # seconds until an answer counts as missing
# the browser reads commands from file 3 and writes answers to file 4
LAUNCH = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
          "os.execv(sys.argv[3], sys.argv[3:])")


def program() -> str:
    """The path of a browser; skips the test that asks where there is none."""
    found = [path for path in map(shutil.which, NAMES) if path]
    if not found:
        pytest.skip(f"no browser on this machine: none of {', '.join(NAMES)} is installed")
    return found[0]


class Browser:
    """One page of a browser; `errors` and `requests` are what it reported and asked for.

    Args:
      path: the browser's program.
      profile: an empty folder.
    """

    def __init__(self, path, profile):
        self.errors, self.requests, self._count, self._held = [], [], 0, b""
        ends = []
        for end in (*os.pipe(), *os.pipe()):  # above 4, so that the copies hide none
            ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
            os.close(end)
        theirs, (self._out, self._in) = (ends[0], ends[3]), (ends[1], ends[2])
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, theirs), path, *FLAGS,
             f"--user-data-dir={profile}"],
            env={**os.environ, "HOME": str(profile)}, pass_fds=theirs, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in theirs:
            os.close(end)
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _messages(self):
        """Yields what the browser says, until it is silent for too long."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while b"\0" not in self._held:
                ready, _, _ = select.select([self._in], [], [], deadline - time.monotonic())
                part = os.read(self._in, 1 << 20) if ready else b""
                assert part, "the browser does not answer"
                self._held += part
            line, _, self._held = self._held.partition(b"\0")
            message = json.loads(line)
            self._note(message)
            yield message

    def _note(self, message):
        method, about = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.errors.append(about["args"])
        elif method == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(about["entry"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def send(self, method, **params):
        """Sends one command and returns its result."""
        self._count += 1
        command = {"id": self._count, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        answer = next(m for m in self._messages() if m.get("id") == self._count)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def open(self, url):
        """Loads a page."""
        self.send("Page.navigate", url=url)
        next(m for m in self._messages() if m.get("method") == "Page.loadEventFired")

    def evaluate(self, script):
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, text=""):
        """Presses and releases a key, such as "ArrowRight"."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "End": 35,
                "Home": 36, " ": 32, "Tab": 9, "Delete": 46, "z": 90, "e": 69}[key]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown"
                      else "", code="Space" if key == " " else key, windowsVirtualKeyCode=code)

    def drag(self, *points, touch=False):
        """Presses the mouse, or a finger, at the first point of the page and lifts it at the last.

        Points are [x, y] in pixels of the screen.
        """
        for k, (x, y) in enumerate([*points, points[-1]]):
            kind = "start" if k == 0 else "end" if k == len(points) else "move"
            if touch:
                self.send("Input.dispatchTouchEvent", type=f"touch{kind.title()}",
                          touchPoints=[] if kind == "end" else [{"x": x, "y": y}])
            else:
                name = {"start": "Pressed", "move": "Moved", "end": "Released"}[kind]
                self.send("Input.dispatchMouseEvent", type=f"mouse{name}", x=x, y=y, buttons=1,
                          button="left", clickCount=1)

    def look(self, width, height=900, scheme="light"):
        """Sets the size of the page in pixels, and whether its user prefers light or dark."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
