"""Watching the target after go-live: one step takes a sample, a check for each KPI judges it.

The schedule looks as often as the time since the sign-off asks for, the sensor tells what is critical. Both
are off until somebody turns them on at go-live, and both need `dagster-daemon`.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import dagster as dg

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import CAPACITY, HEALTH, MONITORING, OWNERS, QUERIES, SIGN_OFF
from migration_assets.assets.resources import WatchedPostgres
from migration_assets.errors import MigrationError
from migration_assets.monitoring import alerts, cadence, history
from migration_assets.monitoring.forecast import Forecast
from migration_assets.monitoring.health import Health, capacity, check_health, given_readings
from migration_assets.monitoring.kpis import WATCHED, Kpi, KpiResult, Status
from migration_assets.monitoring.queries import Answer
from migration_assets.settings import ALERT_WEBHOOK

MONITOR = "monitor"
RUNBOOK = str(Path("docs", "runbooks", "monitoring.md"))
SHOWN = 20
"""Rows of a query that its metadata shows; the query in `sql/monitoring/` has all."""

_COLUMNS = ("kpi", "value", "status", "target", "warning", "critical", "from", "what to do")


def selection() -> dg.AssetSelection:
    """Returns what belongs to monitoring, with its checks: no part of a migration."""
    return dg.AssetSelection.groups(MONITORING)


def monitoring_assets() -> dg.AssetsDefinition:
    """Returns the three assets of monitoring: one step makes them of one sample."""

    @dg.multi_asset(name=MONITORING, specs=_specs(), check_specs=[_check(kpi) for kpi in WATCHED])
    @guarded
    def observe(
        watched: WatchedPostgres,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        readings = given_readings()
        with watched.open() as connection:
            health = check_health(connection, other_readings=readings)
            growth = capacity(connection)
        yield dg.MaterializeResult(asset_key=HEALTH, metadata=health_metadata(health))
        yield dg.MaterializeResult(asset_key=QUERIES, metadata=query_metadata(health.answers))
        yield dg.MaterializeResult(asset_key=CAPACITY, metadata=capacity_metadata(growth))
        for result in health.results:
            yield check_result(result)

    return observe


def monitoring_schedule() -> dg.ScheduleDefinition:
    """Returns the schedule: every 5 minutes for 48 hours after the GO, then hourly, then daily."""

    @dg.schedule(
        name="monitoring",
        job_name=MONITOR,
        cron_schedule=f"*/{int(cadence.TICK.total_seconds() // 60)} * * * *",
        execution_timezone="UTC",
        description="Every 5 minutes for 48 hours after the GO, then hourly, after two weeks daily. Turn "
        "it on at go-live.",
    )
    @guarded
    def monitoring(
        context: dg.ScheduleEvaluationContext, watched: WatchedPostgres
    ) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        try:
            with watched.open() as connection:
                signed_at = cadence.signed_at(connection)
                last = history.last_taken(connection) if history.is_kept(connection) else None
        except MigrationError:
            # The run fails too, which the sensor tells.
            return dg.RunRequest(
                run_key=None, tags={"monitoring/phase": "the target is out of reach"}
            )
        due, why = cadence.is_due(now, signed_at=signed_at, last=last)
        if due:
            return dg.RunRequest(run_key=None, tags={"monitoring/phase": why})
        return dg.SkipReason(why)

    return monitoring


def monitoring_sensor() -> dg.SensorDefinition:
    """Returns the sensor that tells what is critical, what is over, and that nothing was measured."""

    @dg.sensor(
        name="monitoring_alerts",
        minimum_interval_seconds=60,
        description="Tells critical KPIs, failed runs of the job `monitor` and the end of both: to the log, "
        f"and to the webhook that {ALERT_WEBHOOK.name} names. Turn it on at go-live.",
    )
    @guarded
    def monitoring_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor, what_was_done = look(
            context.instance,
            context.cursor,
            dt.datetime.now(tz=dt.UTC),
            webhook=ALERT_WEBHOOK.read(),
            log=context.log,
        )
        return dg.SensorResult(cursor=cursor, skip_reason=what_was_done)

    return monitoring_alerts


def look(
    instance: dg.DagsterInstance,
    cursor: str | None,
    now: dt.datetime,
    *,
    webhook: str | None,
    log: alerts.Log | None = None,
    pause: float = alerts.PAUSE,
) -> tuple[str | None, str]:
    """Looks at the last run of the job `monitor`, and tells what is to be told.

    Args:
        instance: Dagster's memory.
        cursor: What the last look returned.
        now: The time with its zone.
        webhook: URL of the webhook, None where only the log is written.
        log: Where alerts are logged.
        pause: Seconds before a second attempt to deliver.

    Returns:
        The new cursor, and what was done in words.
    """
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    runs = instance.get_runs(dg.RunsFilter(job_name=MONITOR, statuses=ended), limit=1)
    if not runs:
        return cursor, f"the job {MONITOR} has not run yet"
    memory = alerts.Memory.from_cursor(cursor)
    run = runs[0]
    if run.run_id == memory.run_id:
        return cursor, "no new run"
    is_failure = run.status is dg.DagsterRunStatus.FAILURE
    wrong = _failure(instance, run.run_id) if is_failure else _critical(instance, run.run_id)
    alert = alerts.decide(wrong, memory, now, is_failure=is_failure)
    told = None if alert is None else alerts.tell(alert, webhook, log=log, pause=pause)
    memory = alerts.remember(memory, run.run_id, wrong, now, told=told)
    if alert is None:
        return memory.cursor(), "nothing to tell"
    return memory.cursor(), f"{alert.kind}: {'told' if told else 'not delivered'}"


def check_result(result: KpiResult) -> dg.AssetCheckResult:
    """Returns what the thresholds say of a KPI as the result of its check.

    What was not measured does not pass: nothing is known of it.
    """
    is_critical = result.status is Status.CRITICAL
    metadata: describe.Metadata = {"status": result.status.value, "from": result.reading.origin}
    if result.reading.value is not None:
        metadata["value"] = float(result.reading.value)
    passed = result.status in (Status.OK, Status.TOO_LITTLE)
    if not passed and result.status is not Status.UNKNOWN:
        metadata["what to do"] = result.kpi.next_step
    return dg.AssetCheckResult(
        asset_key=HEALTH,
        check_name=result.kpi.name,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if is_critical else dg.AssetCheckSeverity.WARN,
        description=result.summary,
        metadata=metadata,
    )


def health_metadata(health: Health) -> describe.Metadata:
    """Returns the KPIs as a table, and each number by itself so that Dagster plots it."""
    metadata: describe.Metadata = {
        "status": health.status.value,
        "summary": health.summary(),
        "kpis": _table(_COLUMNS, [_line(result) for result in health.results]),
        "runbook": dg.MetadataValue.path(RUNBOOK),
    }
    if health.transactions is not None:
        metadata["transactions per second"] = round(health.transactions, 3)
    for result in health.results:
        if result.reading.value is not None:
            unit = f" ({result.kpi.unit})" if result.kpi.unit else ""
            metadata[f"{result.kpi.title}{unit}"] = round(float(result.reading.value), 3)
    return metadata


def query_metadata(answers: Sequence[Answer]) -> describe.Metadata:
    """Returns the first rows of each query's answer."""
    metadata: describe.Metadata = {}
    for answer in answers:
        name = f"{answer.query.number:02} {answer.query.title}"
        if answer.problem:
            metadata[name] = answer.problem
        elif answer.rows:
            metadata[name] = _table(answer.columns, answer.rows[:SHOWN])
        else:
            metadata[name] = "no rows"
    return metadata


def capacity_metadata(forecast: Forecast) -> describe.Metadata:
    """Returns the forecast in words and numbers."""
    metadata: describe.Metadata = {
        "forecast": forecast.summary(),
        "days with a sample": forecast.days,
    }
    numbers = {
        "database (MB)": None if forecast.size is None else forecast.size / 1e6,
        "room (MB)": None if forecast.limit is None else forecast.limit / 1e6,
        "growth a month (MB)": None if forecast.monthly is None else forecast.monthly / 1e6,
    }
    return metadata | {
        name: round(number, 3) for name, number in numbers.items() if number is not None
    }


def _specs() -> list[dg.AssetSpec]:
    described = {
        HEALTH: ([SIGN_OFF], "The KPIs of operations 4.2 with their thresholds, one check each."),
        QUERIES: (
            [SIGN_OFF],
            f"The twelve queries of `sql/monitoring/`, their first {SHOWN} rows.",
        ),
        CAPACITY: ([HEALTH], "How the database grows, and when its volume will be full."),
    }
    return [
        dg.AssetSpec(
            key,
            deps=deps,
            description=description,
            group_name=MONITORING,
            kinds={"postgres"},
            owners=OWNERS,
        )
        for key, (deps, description) in described.items()
    ]


def _check(kpi: Kpi) -> dg.AssetCheckSpec:
    target, warning, critical = kpi.thresholds()
    return dg.AssetCheckSpec(
        kpi.name,
        asset=HEALTH,
        description=f"{kpi.title}: target {target}, warning {warning}, critical {critical} (operations "
        f"{kpi.section}). {kpi.next_step}.",
    )


def _line(result: KpiResult) -> list[str]:
    target, warning, critical = result.kpi.thresholds()
    status, origin = str(result.status), result.reading.origin
    next_step = result.kpi.next_step
    return [result.kpi.title, result.shown, status, target, warning, critical, origin, next_step]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: _cell(value) for name, value in zip(columns, row, strict=True)})
            for row in rows
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )


def _cell(value: object) -> str | int | float:
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, int | float) else "" if value is None else str(value)


def _critical(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        if entry.dagster_event is None:
            continue
        evaluation = entry.dagster_event.asset_check_evaluation_data
        if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR:
            wrong[evaluation.check_name] = evaluation.description or evaluation.check_name
    return wrong


def _failure(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    kinds = set()
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        error = None if entry.dagster_event is None else entry.dagster_event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name:
            kinds.add(error.cls_name)  # its text may hold values
    what = ", ".join(sorted(kinds)) or "it did not start"
    return {MONITORING: f"run {run_id.partition('-')[0]} failed ({what}): see it in Dagster"}
