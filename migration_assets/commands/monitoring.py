"""Watching the target from a terminal or cron: one look, a live view, one query, the daily report."""

from __future__ import annotations

import datetime as dt
import enum
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from migration_assets.endpoints import target_url
from migration_assets.errors import MigrationError
from migration_assets.monitoring import alerts, history
from migration_assets.monitoring.daily import Daily, daily
from migration_assets.monitoring.health import Health, check_health, given_readings
from migration_assets.monitoring.kpis import BY_NAME, KpiResult, Status
from migration_assets.monitoring.queries import BY_NUMBER, Answer, ask
from migration_assets.monitoring.samples import Sample
from migration_assets.settings import ALERT_WEBHOOK
from migration_assets.target.connection import Connection, open_target
from migration_assets.text import escape

LIVE = ("connections", "active_queries", "locks")
"""The queries that a look at the target shows besides the KPIs."""

SHOWN = 10
"""Rows of a query that a look shows; `--query` shows all."""

WINDOW = dt.timedelta(minutes=1)
"""What the rates of the live view are over."""

_COLOURS = {
    Status.OK: "green",
    Status.TOO_LITTLE: "dim",
    Status.UNKNOWN: "yellow",
    Status.WARNING: "yellow",
    Status.CRITICAL: "bold red",
}


class MonitorExit(enum.IntEnum):
    """Exit codes of `migration-assets monitor`; 2 is that it could not look."""

    FINE = 0
    CRITICAL = 1


def look(console: Console, *, pairs: Sequence[str] = (), is_alerting: bool = False) -> MonitorExit:
    """Takes a sample, keeps it, and prints how the target is.

    Args:
        console: Where it goes.
        pairs: Readings of other tools, as `name=value`.
        is_alerting: Alert on critical KPIs, as the sensor does, and on a target that is out of reach.

    Raises:
        MigrationError: It cannot look: the server, a URL or a reading is wrong.
    """
    webhook = ALERT_WEBHOOK.read() if is_alerting else None
    try:
        with open_target(target_url()) as connection:
            before = history.last_critical(connection) if history.is_kept(connection) else None
            health = check_health(connection, other_readings=given_readings(pairs))
    except MigrationError as error:
        if is_alerting:
            wrong = {"monitor": f"migration-assets monitor failed: {error.what}"}
            alert = alerts.decide(wrong, alerts.Memory(), _now(), is_failure=True)
            assert alert is not None
            alerts.tell(alert, webhook, log=_ConsoleLog(console))
        raise
    _print_health(console, health)
    if is_alerting:
        _tell(console, health, before, webhook)
    return _exit(health)


def watch(
    console: Console, seconds: float, *, pairs: Sequence[str] = (), rounds: int | None = None
) -> MonitorExit:
    """Prints how the target is again and again, until Ctrl-C. Nothing of it is kept.

    Args:
        console: Where it goes.
        seconds: From one look to the next.
        pairs: Readings of other tools, as `name=value`.
        rounds: How often; without end where None.

    Raises:
        MigrationError: It cannot look: the server, a URL or a reading is wrong.
    """
    status = MonitorExit.FINE
    try:
        with open_target(target_url()) as connection:
            for health in _healths(connection, seconds, pairs, rounds):
                console.clear()
                _print_health(console, health)
                console.print(f"[dim]every {seconds:g} s, Ctrl-C ends it[/]")
                status = _exit(health)
    except KeyboardInterrupt:
        console.print()
    return status


def report(
    console: Console, *, pairs: Sequence[str] = (), room: float | None = None
) -> MonitorExit:
    """Prints the report of the day, and keeps its sample.

    Args:
        console: Where it goes.
        pairs: Readings of other tools, as `name=value`.
        room: What there is room for in gigabytes; the volume's where None.

    Raises:
        MigrationError: It cannot look: the server, a URL or a reading is wrong.
    """
    with open_target(target_url()) as connection:
        health = check_health(connection, other_readings=given_readings(pairs))
        day = daily(connection, health, limit=None if room is None else int(room * 1e9))
    _print_daily(console, day)
    return _exit(health)


def query(console: Console, number: int) -> MonitorExit:
    """Prints the whole answer of one of the twelve queries.

    Raises:
        MigrationError: There is no such query, or the server cannot be asked.
    """
    if number not in BY_NUMBER:
        raise MigrationError(
            f"there is no query {number}", where="--query", next_step="Give a number from 1 to 12"
        )
    with open_target(target_url()) as connection:
        answer = ask(connection, BY_NUMBER[number])
    _print_answer(console, answer)
    return MonitorExit.FINE


def _healths(
    connection: Connection, seconds: float, pairs: Sequence[str], rounds: int | None
) -> Iterator[Health]:
    samples: list[Sample] = []
    round_number = 0
    while rounds is None or round_number < rounds:
        started = time.monotonic()
        # Rates are over a minute; in the first minute, since the start.
        now = samples[-1].taken_at if samples else None
        old = [sample for sample in samples if now is not None and now - sample.taken_at >= WINDOW]
        before = old or samples[:1]
        health = check_health(
            connection, before=before, other_readings=given_readings(pairs), is_recorded=False
        )
        samples = [*old[-1:], *[sample for sample in samples if sample not in old], health.sample]
        yield health
        round_number += 1
        if rounds is None or round_number < rounds:
            time.sleep(max(0.0, seconds - (time.monotonic() - started)))


def _exit(health: Health) -> MonitorExit:
    return MonitorExit.CRITICAL if health.critical else MonitorExit.FINE


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)


@dataclass(frozen=True, slots=True)
class _ConsoleLog:
    """Shows alerts on the console."""

    console: Console

    def error(self, msg: str) -> None:
        self.console.print(f"[bold red]alert[/]: {escape(msg)}")

    def info(self, msg: str) -> None:
        self.console.print(f"[green]alert[/]: {escape(msg)}")


def _tell(
    console: Console,
    health: Health,
    before: tuple[dt.datetime, list[str]] | None,
    webhook: str | None,
) -> None:
    """Alerts on what is new or over since the sample before; on what lasts, once an hour."""
    memory = alerts.Memory()
    if before is not None:
        taken_at, critical = before
        hour = taken_at.replace(minute=0, second=0, microsecond=0)
        memory = alerts.Memory(open=critical, told_at=hour.isoformat())
    wrong = {result.kpi.name: result.summary for result in health.critical}
    alert = alerts.decide(wrong, memory, health.sample.taken_at)
    if alert is not None:
        alerts.tell(alert, webhook, log=_ConsoleLog(console))


def _print_health(console: Console, health: Health) -> None:
    colour = _COLOURS[health.status]
    rate = "" if health.transactions is None else f", {health.transactions:,.1f} transactions/s"
    console.print(
        f"[{colour}]{health.status}[/] at {health.sample.taken_at:%Y-%m-%d %H:%M:%S} UTC{rate}: "
        f"{health.summary()}"
    )
    _print_kpis(console, health.results)
    for name in LIVE:
        answer = next(answer for answer in health.answers if answer.query.name == name)
        if answer.rows or answer.problem:
            _print_answer(console, answer, shown=SHOWN)
    if not health.is_recorded:
        console.print("[dim]This look is not part of the history.[/]")


def _print_kpis(console: Console, results: Sequence[KpiResult]) -> None:
    """Prints the measured KPIs as a table, and the others with the reason."""
    measured = [result for result in results if result.status is not Status.UNKNOWN]
    console.print(_kpi_table(measured))
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.status is Status.UNKNOWN:
            reasons.setdefault(result.reading.origin, []).append(result.kpi.title)
    for reason, titles in reasons.items():
        console.print(f"[yellow]not measured[/]: {', '.join(titles)}: {escape(reason)}")
    for result in measured:
        if result.status in _TO_DO:
            console.print(
                f"[{_COLOURS[result.status]}]{result.kpi.title}[/]: {result.kpi.next_step}"
            )


def _kpi_table(results: Sequence[KpiResult]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("KPI", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in ("target", "warning", "critical"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from")
    for result in results:
        colour = _COLOURS[result.status]
        table.add_row(
            result.kpi.title,
            result.shown,
            f"[{colour}]{result.status}[/]",
            *result.kpi.thresholds(),
            escape(result.reading.origin),
        )
    return table


def _print_answer(console: Console, answer: Answer, *, shown: int | None = None) -> None:
    title = f"{answer.query.number} {answer.query.title}"
    if answer.problem:
        console.print(f"[bold]{title}[/]: [yellow]{escape(answer.problem)}[/]")
        return
    rest = "" if shown is None or len(answer.rows) <= shown else f", the first {shown}"
    console.print(f"[bold]{title}[/]: {len(answer.rows)} rows{rest}")
    if answer.rows:
        console.print(_plain_table(answer.columns, answer.rows[:shown]))


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(columns):
        is_number = all(isinstance(row[place], int | float | Decimal | None) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*[escape(_cell(value)) for value in row])
    return table


def _cell(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _print_daily(console: Console, day: Daily) -> None:
    health = day.health
    console.print(f"[bold]Daily report[/] of {health.sample.taken_at:%Y-%m-%d %H:%M} UTC")
    console.print(f"{health.status}: {health.summary()}")
    console.print(f"Size: {health.sample.database_bytes / 1e6:,.1f} MB; {day.forecast.summary()}")
    _print_kpis(console, health.results)
    console.print("[bold]The last 24 hours[/]: samples that were not ok")
    bad = [
        [BY_NAME[name].title, *[counts.get(status, 0) for status in _BAD], sum(counts.values())]
        for name, counts in day.statuses.items()
        if name in BY_NAME and any(counts.get(status) for status in _BAD)
    ]
    if bad:
        console.print(_plain_table(["KPI", *_BAD, "samples"], bad))
    else:
        console.print("none")
    console.print(f"[bold]The {len(day.tables)} largest tables[/], rows counted")
    console.print(
        _plain_table(
            ["table", "MB", "rows"],
            [
                [
                    table.name,
                    f"{table.bytes / 1e6:,.2f}",
                    table.problem or table.rows,
                ]
                for table in day.tables
            ],
        )
    )
    for name in ("slow_queries", "cache_hit_ratio", "connections"):
        _print_answer(console, day.answer(name), shown=SHOWN)
    dead = day.dead()
    console.print(f"[bold]Tables with over 1,000 dead rows[/] (estimated): {len(dead) or 'none'}")
    if dead:
        console.print(_plain_table(["table", "dead rows", "last autovacuum"], dead))


_TO_DO = (Status.CRITICAL, Status.WARNING)
_BAD = (Status.CRITICAL.value, Status.WARNING.value)
