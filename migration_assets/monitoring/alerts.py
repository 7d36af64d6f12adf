"""Telling somebody: to a log always, and to a webhook where one is configured.

The webhook's URL is a secret: whoever knows it can post. It is read from the environment when it is
needed, and stands in no message and no log. What is sent is JSON with a `text` that Slack, Mattermost,
Rocket.Chat and Google Chat show as it is, and the same as fields for programs.
"""

from __future__ import annotations

import datetime as dt
import enum
import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from migration_assets.errors import MigrationError
from migration_assets.monitoring.application import opener, require_http
from migration_assets.settings import ALERT_WEBHOOK

ATTEMPTS = 3
TIMEOUT = 5.0
"""Seconds for one attempt."""

PAUSE = 1.0
"""Seconds before the second attempt, doubled for each after it."""

REPEAT = dt.timedelta(hours=1)
"""How often what lasts is told again."""

_TOO_MANY = 429
_SERVER = 500

LOGGER = "migration_assets.alerts"


class AlertKind(enum.StrEnum):
    """What an alert is about."""

    CRITICAL = "critical"
    FAILED = "failed"
    """The monitor itself could not do its work: the database may be down."""
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody is to be told. It holds names and numbers, no values and no secrets.

    Attributes:
        kind: What it is about.
        title: One line.
        lines: One line for each thing that is wrong.
    """

    kind: AlertKind
    title: str
    lines: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        """Returns it as the webhook gets it."""
        text = "\n".join([f"[{self.kind.upper()}] {self.title}", *self.lines])
        return {"text": text, "kind": self.kind, "title": self.title, "lines": list(self.lines)}


class Log(Protocol):
    """What of a logger is needed; Dagster's is one too."""

    def error(self, msg: str) -> None:
        """Logs something bad."""

    def info(self, msg: str) -> None:
        """Logs something good."""


def tell(
    alert: Alert,
    webhook: str | None,
    *,
    log: Log | logging.Logger | None = None,
    attempts: int = ATTEMPTS,
    timeout: float = TIMEOUT,
    pause: float = PAUSE,
) -> bool:
    """Logs an alert and sends it to the webhook. That it could not be delivered is logged, not raised.

    Args:
        alert: What to tell.
        webhook: URL of the webhook; only the log is written where None.
        log: Where it is logged; the logger ``migration_assets.alerts`` where None.
        attempts: How often to try where trying again may help.
        timeout: Seconds for each attempt.
        pause: Seconds before the second attempt, doubled for each after it.

    Returns:
        Whether it was told as configured.
    """
    log = log or logging.getLogger(LOGGER)
    said = str(alert.as_json()["text"])
    if alert.kind is AlertKind.RECOVERED:
        log.info(said)
    else:
        log.error(said)
    if webhook is None:
        return True
    problem = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        problem, is_final = _post(webhook, alert, timeout)
        if not problem:
            return True
        if is_final:
            break
    log.error(f"the alert was not delivered to the webhook of {ALERT_WEBHOOK.name}: {problem}")
    return False


def _post(url: str, alert: Alert, timeout: float) -> tuple[str, bool]:
    """Returns what went wrong, empty where nothing did, and whether trying again is of no use."""
    try:
        require_http(url, ALERT_WEBHOOK.name)
        request = urllib.request.Request(  # noqa: S310 - required to be http or https
            url,
            data=json.dumps(alert.as_json()).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "migration-assets"},
            method="POST",
        )
        with opener().open(request, timeout=timeout) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        is_passing = error.code >= _SERVER or error.code == _TOO_MANY
        return f"HTTP status {error.code}", not is_passing
    except urllib.error.URLError as error:
        # The text of an error may repeat the URL, so only its kind is told.
        return f"no connection ({type(error.reason).__name__})", False
    except MigrationError as error:
        return error.what, True
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})", False
    except ValueError:
        return "the URL cannot be read", True
    return "", False


@dataclass(frozen=True, slots=True)
class Memory:
    """What was told already, so that the same is not told every five minutes.

    Attributes:
        run_id: The last run that was looked at.
        open: What is wrong, by name, as it was last told.
        told_at: When that was, as ISO 8601.
    """

    run_id: str = ""
    open: Sequence[str] = field(default_factory=list)
    told_at: str = ""

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Memory:
        """Returns the memory that :meth:`cursor` gave, an empty one where there is none."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def cursor(self) -> str:
        """Returns it as text."""
        return json.dumps(asdict(self))


def decide(
    wrong: Mapping[str, str],
    memory: Memory,
    now: dt.datetime,
    *,
    is_failure: bool = False,
    repeat: dt.timedelta = REPEAT,
) -> Alert | None:
    """Returns what is to be told now: what is new, what is over, and what lasts once an hour.

    Args:
        wrong: What is wrong, by name, in a line each; empty where all is well.
        memory: What was told before.
        now: The time with its zone.
        is_failure: It was not measured: the monitor itself failed.
        repeat: How often what lasts is told again.
    """
    if not wrong:
        if not memory.open:
            return None
        return Alert(AlertKind.RECOVERED, f"no longer critical: {', '.join(memory.open)}")
    is_new = not set(wrong) <= set(memory.open)
    is_long_ago = not memory.told_at or now - dt.datetime.fromisoformat(memory.told_at) >= repeat
    if not is_new and not is_long_ago:
        return None
    kind = AlertKind.FAILED if is_failure else AlertKind.CRITICAL
    title = (
        "monitoring could not measure: is the database up?"
        if is_failure
        else f"NextCRM's database: {', '.join(wrong)}"
    )
    return Alert(kind, title, list(wrong.values()))


def remember(
    memory: Memory, run_id: str, wrong: Mapping[str, str], now: dt.datetime, *, told: bool | None
) -> Memory:
    """Returns the memory after a run was looked at.

    Args:
        memory: The memory before.
        run_id: The run.
        wrong: What is wrong now, by name.
        now: The time with its zone.
        told: Whether it was told; None where there was nothing to tell. What could not be delivered is
            not remembered, so that it is tried again.
    """
    if told is False:
        return memory
    told_at = now.isoformat() if told else memory.told_at
    return Memory(run_id, sorted(wrong), told_at if wrong else "")
