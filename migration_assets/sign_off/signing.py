"""Signing off: the verdict, its report in three forms, and its line in ``migration.sign_offs``."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.preflight.contents import contents
from migration_assets.preflight.duration import Estimate, Rehearsal, estimate, rehearsal
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.settings import REPORTS
from migration_assets.sign_off.page import page
from migration_assets.sign_off.recorded import Recorded, read_recorded
from migration_assets.sign_off.report import Json, Server, Surroundings, digest, report
from migration_assets.sign_off.verdict import Verdict, judged
from migration_assets.sign_off.waivers import Approval
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import fingerprints
from migration_assets.source.origin import origin_of
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.unknown_collections import unkept


@dataclass(frozen=True, slots=True)
class Signed:
    """A sign-off that is on record.

    Attributes:
        verdict: The verdict.
        report: The report.
        digest: Its SHA-256.
        page: The file to look at.
        file: The same for machines.
    """

    verdict: Verdict
    report: Json
    digest: str
    page: Path
    file: Path


def reports_directory(path: str | Path = "") -> Path:
    """Returns where reports go: a path that is given, else that of ``MIGRATION_REPORTS``, else `reports`.

    It is made where it is missing.

    Raises:
        MigrationError: Nothing can be written there.
    """
    directory = Path(path or REPORTS.read()).absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_usable = os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        is_usable = False
    if not is_usable:
        raise MigrationError(
            "the report of the sign-off cannot be written there",
            where=f"directory {directory}",
            next_step=f"Set {REPORTS.name}, or --reports, to a directory that you may write to",
        )
    return directory


def sign(
    model: Model,
    source: SourceDatabase,
    connection: Connection,
    approval: Approval | None = None,
    *,
    directory: str | Path = "",
    remediations: Remediations = NO_REMEDIATIONS,
) -> Signed:
    """Makes the verdict, writes its report, and keeps both.

    Args:
        model: The application's tables.
        source: The source database; it is read as a whole, for its fingerprints and its unknown collections.
        connection: A connection to the target, in autocommit mode.
        approval: Waivers, and who decides; nobody where None.
        directory: Where the report goes.
        remediations: The rules as they are now.

    Raises:
        MigrationError: A waiver matches no finding, or the report cannot be written.
    """
    where = reports_directory(directory)
    recorded = read_recorded(model, connection, source, remediations)
    verdict = judged(
        recorded,
        fingerprints(source, model.entities),
        approval,
        unkept(model, source, connection),
        origin_of(source),
    )
    now = dt.datetime.now(dt.UTC)
    around = Surroundings(
        source=_source_server(source),
        target=_target_server(connection),
        now=now,
        estimate=_estimate(source, connection, recorded, now),
    )
    written = report(recorded, verdict, around)
    sealed = digest(written)
    html = page_file(where, now, verdict.word)
    signed = Signed(verdict, written, sealed, html, html.with_suffix(".json"))
    _write(signed.file, json.dumps({**written, "digest": sealed}, indent=2, ensure_ascii=False))
    _write(signed.page, page(written, sealed))
    _keep(connection, signed, now)
    return signed


def page_file(directory: Path, signed_at: dt.datetime, word: str) -> Path:
    """Returns the file of a sign-off that is to look at; the one for machines stands beside it."""
    time = f"{signed_at:%Y%m%dT%H%M%S}.{signed_at.microsecond // 1000:03}Z"
    return directory / f"sign-off-{time}-{word}.html"


def latest(connection: Connection) -> Mapping[str, Any] | None:
    """Returns the report that was recorded last, None where there is none."""
    row = connection.execute(
        sql.SQL("SELECT report FROM {} ORDER BY signed_at DESC LIMIT 1").format(_SIGN_OFFS)
    ).fetchone()
    return None if row is None else row[0]


def is_recorded(connection: Connection, sealed: str) -> bool:
    """Returns whether a digest is the one of a recorded sign-off, whose report still has it."""
    rows = connection.execute(
        sql.SQL("SELECT report FROM {} WHERE digest = %s").format(_SIGN_OFFS), [sealed]
    ).fetchall()
    return any(digest(kept_report) == sealed for (kept_report,) in rows)


_SIGN_OFFS = sql.Identifier(SCHEMA, bookkeeping.sign_offs.name)


def _keep(connection: Connection, signed: Signed, now: dt.datetime) -> None:
    approval = signed.verdict.approval
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (signed_at, verdict, report, approver, role, decision, waivers, digest) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            ).format(_SIGN_OFFS),
            [
                now,
                signed.verdict.word,
                json.dumps(signed.report),
                approval.approver or None,
                approval.role or None,
                approval.decision.value if approval.approver else None,
                json.dumps(signed.report["waivers"]),
                signed.digest,
            ],
        )


def _write(path: Path, text: str) -> None:
    """Writes a new file that only its owner can read."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode())
    except OSError as error:
        raise MigrationError(
            f"cannot be written ({error.strerror})",
            where=f"report {path}",
            next_step="Make room there, or give another directory, then sign off again",
        ) from None


def _source_server(source: SourceDatabase) -> Server:
    return Server(
        name=source.name,
        hosts=sorted(f"{host}:{port}" for host, port in source.client.nodes),
        version=source.client.server_info()["version"],
    )


def _target_server(connection: Connection) -> Server:
    info = connection.info
    row = connection.execute("SHOW server_version").fetchone()
    return Server(
        name=info.dbname,
        hosts=[f"{info.host}:{info.port}"],
        version=str(row[0]).split(" ")[0] if row else "",
    )


def _estimate(
    source: SourceDatabase, connection: Connection, recorded: Recorded, now: dt.datetime
) -> Estimate | None:
    measured = rehearsal(recorded.model, connection)
    if measured is None or not measured.is_whole:
        measured = _this_run(recorded, now) or measured
    if measured is None:
        return None
    return estimate(recorded.model, measured, contents(source))


def _this_run(recorded: Recorded, now: dt.datetime) -> Rehearsal | None:
    """Returns what the run took that this sign-off ends, None where it did not load every table."""
    identities = recorded.loads.get(bookkeeping.uuid_map.name)
    loads = [recorded.loads[name] for name in recorded.model.tables if name in recorded.loads]
    if identities is None or len(loads) < len(recorded.model.tables):
        return None
    if any(load.started_at < identities.started_at for load in loads):
        return None
    of_entities = [recorded.loads[name].statistics for name in recorded.model.entities]
    documents = sum(statistics["documents"] for statistics in of_entities)
    if not documents:
        return None
    return Rehearsal(
        seconds=(now - identities.started_at).total_seconds(),
        documents=documents,
        size=sum(statistics["size"] for statistics in of_entities),
        ended=now,
        is_whole=True,
    )
