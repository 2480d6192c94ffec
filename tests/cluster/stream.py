"""The stream of events of a server that starts, as a page reads it."""

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urljoin
from urllib.request import Request

from tests.cluster.daemons import wait_until
from tests.cluster.hub import Browser

Event = dict[str, Any]


@dataclass
class Stream:
    """All events so far, each with the time at which it came; reading goes on in the background."""

    browser: Browser
    user: str
    server: str = ""
    events: list[tuple[float, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        path = f"servers/{self.server}" if self.server else "server"
        token = quote(self.browser.xsrf())
        self.url = urljoin(
            self.browser.url, f"/hub/api/users/{self.user}/{path}/progress?_xsrf={token}"
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        request = Request(self.url, headers={"Accept": "text/event-stream"})
        with (
            self.browser.opener.open(request, timeout=300) as answer,
            # a hub that is killed cuts it off
            suppress(OSError, HTTPException),
        ):
            for line in answer:
                if line.startswith(b"data:"):
                    self.events.append((time.time(), json.loads(line[5:])))

    def until(self, fits: Callable[[Event], object], seconds: float = 120) -> Event:
        """Return the first event that fits, once it is there."""
        return self.moment(fits, seconds)[1]

    def moment(self, fits: Callable[[Event], object], seconds: float = 120) -> tuple[float, Event]:
        """Return the first event that fits, with the time at which it came."""

        def found() -> tuple[float, Event] | None:
            return next(((when, event) for when, event in self.events if fits(event)), None)

        wait_until(found, seconds, every=0.1)
        result = found()
        assert result is not None, self.events[-5:]
        return result

    def says(self, words: str, seconds: float = 120) -> Event:
        """Return the first event whose message has these words."""
        return self.until(lambda event: words in event["message"], seconds)

    def job(self) -> str:
        """Return the number of the job."""
        return _job(self.until(_job))

    def failed(self, seconds: float = 120) -> tuple[float, Event]:
        """Return the event that tells the failure, with the time at which it came."""
        return self.moment(lambda event: event.get("failed"), seconds)

    def ready(self, seconds: float = 180) -> Event:
        """Return the event that tells that the server is there."""
        return self.until(lambda event: event.get("ready") or event.get("failed"), seconds)


def _job(event: Event) -> str:
    """Return the number of the job; of one that fails at once only the failure tells it."""
    told = re.search(r"^Job: (\S+)$", event["message"], re.M)
    return str(event.get("job") or (told[1] if told else ""))
