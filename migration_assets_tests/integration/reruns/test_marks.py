"""Marks notice whatever could change a value, and nothing else (decision 0009)."""

from __future__ import annotations

from typing import LiteralString

import pytest

from migration_assets.embedded import Urls
from migration_assets.nextcrm import TABLES
from migration_assets.target import marks
from migration_assets.target.connection import open_target
from migration_assets.target.marks import books_mark, rows_mark

USERS = TABLES["Users"]

CHANGES: list[LiteralString] = [
    """UPDATE "Users" SET name = name WHERE id = (SELECT min(id::text)::uuid FROM "Users")""",
    """SET LOCAL session_replication_role = replica;
       DELETE FROM "Users" WHERE id = (SELECT min(id::text)::uuid FROM "Users")""",
    'TRUNCATE "Users" CASCADE',
    'ALTER TABLE "Users" DROP COLUMN name; ALTER TABLE "Users" ADD COLUMN name text',
    'ALTER TABLE "Users" RENAME COLUMN name TO n; ALTER TABLE "Users" RENAME COLUMN username TO name',
    'ALTER TABLE "Users" ALTER COLUMN name TYPE varchar',
    """ALTER TYPE "ActiveStatus" RENAME VALUE 'ACTIVE' TO 'x'""",
    """ALTER TYPE "ActiveStatus" RENAME VALUE 'ACTIVE' TO 'x';
       ALTER TYPE "ActiveStatus" RENAME VALUE 'INACTIVE' TO 'ACTIVE'""",
    """SAVEPOINT one; UPDATE "Users" SET name = name WHERE is_admin; RELEASE one;
       UPDATE "Users" SET name = name WHERE NOT is_admin""",
    "INSERT INTO migration.pending_deletes VALUES ('Users', gen_random_uuid())",
]


def test_a_mark_changes_with_whatever_changes_a_value(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        before = rows_mark(connection, USERS)
        for statement in CHANGES:
            with connection.transaction(force_rollback=True):
                connection.execute(statement)
                assert rows_mark(connection, USERS) != before, statement
        assert rows_mark(connection, USERS) == before


def test_a_mark_stays_with_what_changes_no_value(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        before = rows_mark(connection, USERS), books_mark(connection, USERS)
        connection.execute('VACUUM (FREEZE, ANALYZE) "Users"')
        connection.execute("VACUUM FULL migration.issues")
        connection.execute('CREATE INDEX ON "Users" (name)')
        with connection.transaction():
            connection.execute('SELECT FROM "Users" FOR UPDATE')
            connection.execute("""UPDATE "Boards" SET title = title""")
            connection.execute("DELETE FROM migration.issues WHERE target_table <> 'Users'")
        assert (rows_mark(connection, USERS), books_mark(connection, USERS)) == before


def test_a_mark_of_another_server_is_another(
    small_migration: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_target(small_migration.postgres_url) as connection:
        before = rows_mark(connection, USERS)
        other = marks._SERVER.replace("system_identifier::text", "(system_identifier + 1)::text")
        monkeypatch.setattr(marks, "_SERVER", other)
        assert rows_mark(connection, USERS) != before


def test_a_role_that_may_do_nothing_else_gets_marks(small_copy: str) -> None:
    with (
        open_target(small_copy) as connection,
        connection.transaction(force_rollback=True),
    ):
        before = rows_mark(connection, USERS)
        connection.execute("CREATE ROLE marks_reader")
        connection.execute("GRANT USAGE ON SCHEMA public, migration TO marks_reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public, migration TO marks_reader")
        connection.execute("SET LOCAL ROLE marks_reader")
        assert rows_mark(connection, USERS) == before
