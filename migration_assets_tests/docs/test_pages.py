"""Pages on messages, sign-off and remediations: their commands run, their example is true."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from bson import ObjectId
from rich.console import Console

from migration_assets.commands.decisions import print_decisions
from migration_assets.embedded import Urls
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.sign_off.applied import applied
from migration_assets.sign_off.verdict import is_loss, verdict
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import record, state_of
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets_tests.support.loaded_sample import open_losses
from migration_assets_tests.support.pages import DOCS, Shell, blocks, do_page

REMEDIATIONS = DOCS / "remediations.md"


@pytest.fixture
def migrated(shell: Shell, small_migration: Urls, small_copy: str) -> Iterator[Connection]:
    """A migrated target, as the shell sees it: all its checks have passed, and three values were nulled."""
    shell.use(replace(small_migration, postgres_url=small_copy))
    with open_target(small_copy) as connection:
        connection.execute(
            "INSERT INTO migration.issues "
            "(target_table, collection, source_id, field, kind, reason, original) "
            "SELECT 'Tasks', 'Tasks', id, 'likes', 'nulled', 'string fits no rule', '\"x\"' "
            "FROM unnest('{a,b,c}'::text[]) AS id"
        )
        for name, table in TABLES.items():
            state = state_of(connection, table)
            for layer in Layer:
                evidence = Evidence(name, layer, passed=True, severity=Severity.ERROR, summary="")
                record(connection, evidence, state)
        yield connection


@pytest.mark.usefixtures("migrated", "values")
def test_page_on_messages_is_done(shell: Shell) -> None:
    do_page(DOCS / "messages" / "README.md", shell)
    assert shell.times


def test_page_on_signing_off_is_done(shell: Shell, migrated: Connection) -> None:
    do_page(DOCS / "sign-off.md", shell)
    row = migrated.execute(
        "SELECT verdict, approver, role, jsonb_array_length(waivers) FROM migration.sign_offs "
        "ORDER BY signed_at DESC LIMIT 1"
    ).fetchone()
    assert row == ("GO", "Ann Example", "migration lead", 1)


def example(language: str, start: str) -> list[str]:
    """Returns the first block of the page on remediations with a line that starts so."""
    example_lines, *_ = [
        block.lines
        for block in blocks(REMEDIATIONS)
        if block.language == language and any(line.startswith(start) for line in block.lines)
    ]
    return example_lines


def test_the_example_of_the_page_on_remediations_is_true(
    source: SourceDatabase, mongo_database: SourceDatabase, target: Connection
) -> None:
    generate(mongo_database, scale=0.01)
    for collection, count, change in (
        ("crm_Leads", 12, {"$set": {"assigned_to": ObjectId()}}),
        ("gpt_models", 3, {"$set": {"status": "active"}}),
        ("Boards", 2, {"$push": {"watchers": None}}),
    ):
        ids = [
            document["_id"]
            for document in mongo_database[collection].find({}, {"_id": 1}).limit(count)
        ]
        assert len(ids) == count
        mongo_database[collection].update_many({"_id": {"$in": ids}}, change)

    load_identities(NEXTCRM, source, target)
    for table in TABLES.values():
        load_table(source, target, table)
    console = Console(width=110, file=io.StringIO())
    findings = verdict(NEXTCRM, target, source, {}).findings
    print_decisions(
        console, [finding for finding in findings if is_loss(finding.check, finding.kind)]
    )
    assert isinstance(console.file, io.StringIO)
    output = " ".join(console.file.getvalue().split())
    for line in example("text", "3 decisions"):
        assert " ".join(line.split()) in output, line

    rules = parse_remediations(
        NEXTCRM, "\n".join(example("yaml", "  - name: model-status-spelling"))
    )
    for name in ("crm_Leads", "gpt_models", "Boards", "BoardWatchers"):
        load_table(source, target, TABLES[name], remediations=rules)
    assert open_losses(target) == []
    assert [f"✓ {effect.said()}" for effect in applied(NEXTCRM, target, rules)] == example(
        "text", "✓"
    )
