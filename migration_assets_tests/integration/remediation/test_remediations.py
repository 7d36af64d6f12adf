"""Remediations on real servers: a faulty sample goes from NO-GO to GO by the file that comes with it."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from rich.console import Console
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.commands.explaining import MASK, explain, show_sample
from migration_assets.embedded import Urls, fresh_database
from migration_assets.errors import MigrationError
from migration_assets.identity import canonical, document_uuid, from_canonical
from migration_assets.loading import ledger
from migration_assets.loading.dependencies import dependencies_of
from migration_assets.loading.identities import load_identities
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.nextcrm.sample import Expectation, Ledger, generate, sample_remediations
from migration_assets.nextcrm.sample.population import Population
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.rollback.export import export_gained
from migration_assets.rollback.files import read_manifest
from migration_assets.rollback.refused import RefusedError
from migration_assets.settings import REMEDIATIONS, SOURCE_URL, TARGET_URL
from migration_assets.sign_off.applied import applied
from migration_assets.sign_off.verdict import verdict
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.source.digests import ContentDigest, fingerprints
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.validation.evidence import Layer, Severity
from migration_assets_tests.support.loaded_sample import all_checks, check_values, open_losses

SCALE = 0.01
ROW_COUNT, VALUES, REFERENCES, *_ = Layer

LOSSES = {
    Expectation.ALTERED: "altered",
    Expectation.NULLED: "nulled",
    Expectation.ORPHANED: "orphaned",
    Expectation.REJECTED: "rejected",
}
BOOKED = """
    SELECT collection, source_id, field, kind FROM migration.issues
    UNION SELECT collection, source_id, field, 'rejected' FROM migration.rejected_documents
"""

POPULATION = Population(scale=SCALE, seed=1)
USER, OTHER_USER = (POPULATION.ids("Users")[number] for number in (3, 4))
BOARD = POPULATION.ids("Boards")[2]
NOBODY = ObjectId("0123456789abcdef01234567")
OWN: dict[str, list[dict[str, Any]]] = {
    # A reference, an array of references and an array of texts that point to nobody.
    "Boards": [
        {
            "_id": ObjectId("600000000000000000000021"),
            "__v": 0,
            "title": "own",
            "description": "own",
            "user": NOBODY,
            "sharedWith": [USER, NOBODY, None, OTHER_USER],
            # A relation.
            "watchers": [USER, NOBODY, 7],
        }
    ],
    "crm_Leads": [{"_id": "own", "__v": 0, "lastName": "own", "assigned_to": "nobody"}],
}
RULES = f"""version: 1
rules:
  - name: own-user
    collection: Boards
    field: user
    match: {{values: [{{$oid: {NOBODY}}}]}}
    set: {{$oid: {USER}}}
  - name: own-shared
    collection: Boards
    field: sharedWith
    elements: true
    map:
      - {{from: {{$oid: {NOBODY}}}, to: {{$oid: {BOARD}}}}}
      - {{from: {{$oid: {OTHER_USER}}}, to: {{$oid: {USER}}}}}
  - name: own-watchers
    collection: Boards
    field: watchers
    elements: true
    map: [{{from: {{$oid: {NOBODY}}}, to: {{$oid: {OTHER_USER}}}}}]
  - name: own-relation
    collection: Boards
    field: watchers
    match: {{ids: ['{BOARD}']}}
    set: [{{$oid: {USER}}}, {{$oid: {OTHER_USER}}}]
  - {{name: own-lead, collection: crm_Leads, field: assigned_to, match: {{ids: ['"own"']}}, drop: true}}
  - {{name: own-unused, collection: Tasks, field: title, map: {{nobody writes this: x}}}}
"""


@dataclass(frozen=True)
class Dirty:
    """A faulty sample, loaded without rules, and then with them.

    Attributes:
        urls: Both databases.
        source: The source.
        connection: A connection to the target.
        ledger: What the generator did.
        rules: The rules: this module's, then those that come with the sample.
        booked: What stood in the books without rules: (collection, source id, field, kind).
    """

    urls: Urls
    source: SourceDatabase
    connection: Connection
    ledger: Ledger
    rules: Remediations
    booked: frozenset[tuple[str, str, str, str]]


def red(dirty: Dirty, table: str) -> set[Layer]:
    """Returns the checks of a table that fail as errors."""
    evidence = all_checks(dirty.source, dirty.connection, table, dirty.rules)
    return {
        result.layer
        for result in evidence
        if not result.passed and result.severity is Severity.ERROR
    }


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shipped = sample_remediations().read_text(encoding="utf-8").partition("rules:\n")[2]
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(RULES + shipped, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def dirty(servers: Urls, rules_file: Path) -> Iterator[Dirty]:
    rules = parse_remediations(NEXTCRM, rules_file.read_text(encoding="utf-8"))
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            database = client.get_default_database()
            sample_ledger = generate(database, scale=SCALE, dirty=0.0001)
            for name, documents in OWN.items():
                database[name].insert_many(documents)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as connection:
            create_schema(NEXTCRM, connection)
            load_identities(NEXTCRM, source, connection)
            for table in TABLES.values():
                load_table(source, connection, table)
            booked = frozenset(tuple(row) for row in connection.execute(BOOKED))
            for table in TABLES.values():
                load_table(source, connection, table, remediations=rules)
            build_constraints(NEXTCRM, connection)
            yield Dirty(urls, source, connection, sample_ledger, rules, booked)


@pytest.fixture
def damaged(dirty: Dirty) -> Iterator[Dirty]:
    """The loaded sample, for damage to the target, which is undone afterwards."""
    with dirty.connection.transaction(force_rollback=True):
        yield dirty


def test_the_books_agree_with_the_ledger_document_by_document(dirty: Dirty) -> None:
    expected = {
        (entry.collection, entry.source_id, entry.field, LOSSES[entry.expectation])
        for entry in dirty.ledger.entries
        if entry.expectation in LOSSES
    }
    own = {canonical(document["_id"]) for documents in OWN.values() for document in documents}
    own |= {str(document["_id"]) for documents in OWN.values() for document in documents}
    booked = {line for line in dirty.booked if line[1] not in own}
    assert expected
    assert booked == expected


def test_no_go_without_the_file_and_go_with_it(dirty: Dirty) -> None:
    for table in TABLES:
        assert red(dirty, table) == set(), table
    now = fingerprints(dirty.source, ENTITIES)
    judgement = verdict(NEXTCRM, dirty.connection, dirty.source, now, remediations=dirty.rules)
    assert judgement.findings == []
    texts = {finding.what for finding in judgement.information if finding.check == "remediations"}
    assert "rule own-unused matched nothing in Tasks.title" in texts
    assert any(text.startswith("accepted ") for text in texts)
    other = verdict(
        NEXTCRM, dirty.connection, dirty.source, now, remediations=NO_REMEDIATIONS
    ).findings
    assert {finding.table for finding in other} == set(TABLES)
    assert {finding.what for finding in other} == {"was loaded with other remediations"}
    assert open_losses(dirty.connection) == []


def test_each_application_is_on_record_with_the_original(dirty: Dirty) -> None:
    applications = dirty.connection.execute(
        "SELECT rule, source_id, element, original, replacement FROM migration.remediations "
        "WHERE rule LIKE 'own-%' ORDER BY rule, source_id, element"
    ).fetchall()
    own = str(OWN["Boards"][0]["_id"])
    lines = {line[:3]: line[3:] for line in applications}
    nobody, user, other = (canonical(identifier) for identifier in (NOBODY, USER, OTHER_USER))
    assert lines["own-user", own, None] == (nobody, user)
    assert lines["own-shared", own, 1] == (nobody, canonical(BOARD))
    assert lines["own-shared", own, 3] == (other, user)
    assert lines["own-watchers", own, 1] == (nobody, other)
    assert lines["own-lead", '"own"', None] == ('"nobody"', None)
    original, replacement = lines["own-relation", str(BOARD), None]
    held = dirty.source["Boards"].find_one({"_id": BOARD})
    assert held is not None
    assert original == (canonical(held["watchers"]) if "watchers" in held else None)
    assert from_canonical(replacement) == [USER, OTHER_USER]
    counts = {
        effect.rule: effect.count for effect in applied(NEXTCRM, dirty.connection, dirty.rules)
    }
    assert counts["own-unused"] == 0
    assert counts["own-watchers"] == 1
    assert counts["Boards-watchers-number"] >= 1
    # BOARD is no user: what a rule makes of a value is converted as any other.
    orphaned = dirty.connection.execute(
        "SELECT accepted_by FROM migration.issues WHERE source_id = %s AND field = 'sharedWith' "
        "AND original = %s",
        [own, canonical(BOARD)],
    ).fetchall()
    assert orphaned == [("accept-Boards",)]


def key(collection: str, identifier: object) -> str:
    return str(document_uuid(collection, identifier))


LINE = "ctid = (SELECT ctid FROM migration.{} WHERE {} LIMIT 1)"
DAMAGES: dict[str, tuple[str, str, set[Layer]]] = {
    "a remediated reference": (
        "Boards",
        f'UPDATE "Boards" SET "user" = \'{key("Users", OTHER_USER)}\' '
        f"WHERE id = '{key('Boards', OWN['Boards'][0]['_id'])}'",
        {VALUES, REFERENCES},
    ),
    "the original of a dropped reference": (
        "crm_Leads",
        f"UPDATE \"crm_Leads\" SET assigned_to = '{key('Users', USER)}' "
        f"WHERE id = '{key('crm_Leads', 'own')}'",
        {ROW_COUNT, VALUES, REFERENCES},
    ),
    "a pair of a remediated element": (
        "BoardWatchers",
        f"DELETE FROM \"BoardWatchers\" WHERE user_id = '{key('Users', OTHER_USER)}' "
        f"AND board_id = '{key('Boards', OWN['Boards'][0]['_id'])}'",
        {ROW_COUNT, VALUES, REFERENCES},
    ),
    "a remediated label": (
        "Users",
        'UPDATE "Users" SET "userStatus" = \'INACTIVE\' WHERE id = (SELECT m.id FROM '
        "migration.remediations r JOIN migration.uuid_map m USING (collection, source_id) "
        "WHERE r.rule = 'Users-userStatus-unreadable' LIMIT 1)",
        {VALUES},
    ),
    "a line of what was dropped": (
        "crm_Leads",
        "DELETE FROM migration.remediations WHERE "
        + LINE.format("remediations", "rule = 'own-lead'"),
        {ROW_COUNT, VALUES},
    ),
    "a line of what was replaced": (
        "Boards",
        "DELETE FROM migration.remediations WHERE "
        + LINE.format("remediations", "rule = 'own-user'"),
        {VALUES},
    ),
    "the original in a line": (
        "BoardWatchers",
        "UPDATE migration.remediations SET original = '1' WHERE "
        + LINE.format("remediations", "rule = 'own-watchers'"),
        {VALUES},
    ),
    "the rule in a line": (
        "BoardWatchers",
        "UPDATE migration.remediations SET rule = 'other' WHERE "
        + LINE.format("remediations", "rule = 'own-watchers'"),
        {VALUES},
    ),
    "an acceptance that is gone": (
        "Users",
        "UPDATE migration.rejected_documents SET accepted_by = NULL WHERE "
        + LINE.format("rejected_documents", "target_table = 'Users'"),
        {VALUES},
    ),
    "an acceptance that is gone, of a reference": (
        "Boards",
        "UPDATE migration.issues SET accepted_by = NULL WHERE "
        + LINE.format("issues", "target_table = 'Boards' AND kind = 'orphaned'"),
        {VALUES, REFERENCES},
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_to_remediated_values_is_seen(damaged: Dirty, what: str) -> None:
    table, statement, layers = DAMAGES[what]
    assert damaged.connection.execute(statement).rowcount == 1
    assert red(damaged, table) == layers


def test_a_load_that_was_cut_off_starts_again_where_the_rules_changed(damaged: Dirty) -> None:
    connection, table = damaged.connection, TABLES["Tasks"]
    now = dependencies_of(connection, table)
    begun = ledger.begin(connection, table, NO_REMEDIATIONS, now, [{}])
    first_line = RangeLine(1, {}, ContentDigest(), {"documents": 0})
    ledger.complete(connection, begun, first_line)
    messages: list[str] = []
    load_table(damaged.source, connection, table, remediations=damaged.rules, say=messages.append)
    assert messages[0] == "Tasks: not resumed, the remediations have changed since"


def test_a_rollback_gives_back_what_the_source_has(dirty: Dirty, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="loaded with other remediations"):
        export_gained(NEXTCRM, dirty.source, dirty.connection, tmp_path / "refused")
    pair = [key("Boards", OWN["Boards"][0]["_id"]), key("Users", OTHER_USER)]
    where = '"BoardWatchers" WHERE board_id = %s AND user_id = %s'
    assert dirty.connection.execute(f"DELETE FROM {where}", pair).rowcount == 1
    try:
        export_gained(
            NEXTCRM, dirty.source, dirty.connection, tmp_path / "export", remediations=dirty.rules
        )
    finally:
        dirty.connection.execute(
            'INSERT INTO "BoardWatchers" (board_id, user_id) VALUES (%s, %s)', pair
        )
    manifest = read_manifest(tmp_path / "export")
    assert sum(manifest.operations.values()) == len(manifest.collections) == 1
    operations_text = (tmp_path / "export" / manifest.collections["Boards"].file).read_text(
        encoding="utf-8"
    )
    # The pair came from an element that pointed to nobody: that is what the document has to lose.
    assert str(NOBODY) in operations_text


@pytest.fixture
def settings(dirty: Dirty, rules_file: Path, monkeypatch: pytest.MonkeyPatch) -> Dirty:
    monkeypatch.setenv(SOURCE_URL.name, dirty.urls.mongodb_url)
    monkeypatch.setenv(TARGET_URL.name, dirty.urls.postgres_url)
    monkeypatch.setenv(REMEDIATIONS.name, str(rules_file))
    return dirty


def explained(collection: str, source_id: str) -> str:
    output = io.StringIO()
    explain(Console(file=output, width=200), collection, source_id)
    return output.getvalue()


def test_explain_shows_what_became_of_a_document(settings: Dirty) -> None:
    own = OWN["Boards"][0]["_id"]
    output = explained("Boards", str(own))
    assert key("Boards", own) in output
    assert "user replaced by rule own-user" in output
    assert "sharedWith[1] replaced by rule own-shared" in output
    assert "no row of Users has this id (accepted by rule accept-Boards)" in output
    assert "in BoardWatchers" in output
    assert "row and books are as the document and the rules make them" in output
    assert "assigned_to dropped by rule own-lead" in explained("crm_Leads", '"own"')
    for identifier in ("own", '"own"', "'own'", "'\"own\"'"):
        assert "assigned_to dropped by rule own-lead" in explained("crm_Leads", identifier)
    rejected = next(line for line in settings.booked if line[3] == "rejected")
    output = explained(rejected[0], rejected[1])
    assert f"none in {rejected[0]}" in output or f"by rule {rejected[0]}-" in output


@pytest.mark.usefixtures("settings")
def test_explain_masks_secrets() -> None:
    output = "".join(explained("Users", str(identifier)) for identifier in (USER, OTHER_USER))
    output += sampled("Users", size=1_000, seed=0)
    assert MASK in output
    assert SECRET_PREFIX not in output


def sampled(collection: str, *, size: int, seed: int) -> str:
    output = io.StringIO()
    show_sample(Console(file=output, width=200), collection, size=size, seed=seed)
    return output.getvalue()


def test_a_sample_shows_both_sides_of_the_documents_that_the_check_draws(settings: Dirty) -> None:
    evidence = check_values(
        settings.source,
        settings.connection,
        TABLES["Tasks"],
        sample_size=3,
        seed=7,
        remediations=settings.rules,
    )
    output = sampled("Tasks", size=3, seed=7)
    names = re.findall(r"document +(\S+) of Tasks", output)
    assert evidence.is_sound
    assert sorted(names) == sorted(str(line["source_id"]) for line in evidence.sample)
    assert sampled("Tasks", size=3, seed=7) == output
    assert all(explained("Tasks", name) in output for name in names)


def test_explain_shows_the_value_of_a_field_beside_that_of_the_row(settings: Dirty) -> None:
    task = next(settings.source["Tasks"].find({"section": {"$type": "objectId"}}))
    output = explained("Tasks", str(task["_id"]))
    section = key("Sections", task["section"])
    assert re.search(rf'section +{{"\$oid":"{task["section"]}"}} → {section}\n', output)


@pytest.mark.usefixtures("settings")
def test_explain_and_run_name_the_mistake(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="the model knows no such collection"):
        explain(Console(), "users", str(USER))
    with pytest.raises(MigrationError, match="neither the source nor the UUID map has it"):
        explain(Console(), "Users", str(uuid.UUID(int=0).hex[:24]))
    with pytest.raises(MigrationError, match="neither the source nor the UUID map has it"):
        explain(Console(), "Users", "nobody")
    file = tmp_path / "wrong.yaml"
    file.write_text("version: 1\nrules:\n  - {name: a, collection: Userz}\n", encoding="utf-8")
    for command in ("run", "validate"):
        result = CliRunner().invoke(app, [command, "--remediations", str(file)])
        assert result.exit_code == 2
        assert "wrong.yaml: line 3: " in result.stderr
