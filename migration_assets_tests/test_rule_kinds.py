"""Each kind of rule on real servers: what becomes of a few documents, and that the checks agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from bson import ObjectId

from migration_assets.identity import document_uuid
from migration_assets.loading.identities import load_identities
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.remediation.reporting import applied
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Layer

Documents = Mapping[str, Iterable[Mapping[str, Any]]]

USER = ObjectId("64b000000000000000000a01")
USER_DOCUMENT = {
    "_id": USER,
    "__v": 0,
    "email": "user01@example.org",
    "is_account_admin": False,
    "is_admin": False,
    "userStatus": "ACTIVE",
    "userLanguage": "en",
}


@dataclass(frozen=True)
class Migrated:
    """A few documents, loaded with rules.

    Attributes:
        source: The source.
        target: A connection to the target.
        rules: The rules.
    """

    source: SourceDatabase
    target: Connection
    rules: Remediations

    def load(self, tables: Iterable[str]) -> None:
        """Loads tables with the rules, after the map."""
        load_identities(self.source, self.target)
        for name in tables:
            load_table(self.source, self.target, TABLES[name], remediations=self.rules)

    def query(self, query: str) -> list[Any]:
        """Returns rows of the target."""
        return self.target.execute(query).fetchall()

    def unsound(self, *tables: str) -> dict[tuple[str, str], str]:
        """Returns the checks that disagree with what was loaded."""
        found = [
            run_check(self.source, self.target, TABLES[table], layer, remediations=self.rules)
            for table in tables
            for layer in Layer
        ]
        return {(each.table, each.layer): each.summary for each in found if not each.is_sound}

    def counts(self) -> dict[str, int]:
        """Returns how often each rule was applied."""
        return {each.rule: each.count for each in applied(self.target, self.rules)}


Migrate = Callable[..., Migrated]


@pytest.fixture
def migrate(source: SourceDatabase, target: Connection) -> Migrate:
    """Loads documents with rules into the tables that are named, and runs all checks of them."""

    def migrated(documents: Documents, rules: str, *tables: str) -> Migrated:
        for name, written in documents.items():
            source[name].insert_many([dict(each) for each in written])
        made = Migrated(source, target, parse_remediations(f"version: 1\nrules:\n{rules}"))
        made.load(tables)
        assert made.unsound(*tables) == {}
        return made

    return migrated


def row_id(collection: str, identifier: Any) -> str:
    return str(document_uuid(collection, identifier))


def test_values_that_were_fine_and_were_changed_are_counted(migrate: Migrate) -> None:
    leads = [
        {"_id": 1, "__v": 0, "lastName": "a", "assigned_to": USER},
        {"_id": 2, "__v": 0, "lastName": "b", "assigned_to": "nobody"},
        {"_id": 3, "__v": 0, "lastName": "c"},
    ]
    rule = "- {name: all, collection: crm_Leads, field: assigned_to, match: any, drop: true, %s}"
    made = migrate(
        {"Users": [USER_DOCUMENT], "crm_Leads": leads},
        rule % "changes_fine_values: true",
        "Users",
        "crm_Leads",
    )
    (done,) = applied(made.target, made.rules)
    assert (done.count, done.fine) == (2, 1)
    assert done.said().endswith("by rule all (drop); 1 of them would not have been lost")
