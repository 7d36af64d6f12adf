"""What somebody may do to the target, and which checks have to notice. The page of failures is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bson import ObjectId

from migration_assets.identity import document_uuid
from migration_assets.validation.evidence import Layer

ROW_COUNT, VALUES, REFERENCES, TYPES, *_ = Layer
UUID_MAP = "uuid_map"
ROW, VALUE, REFERENCE, PAIR, TYPE, BOOKS = (
    "Rows",
    "Values",
    "References",
    "Pairs of junction tables",
    "Types",
    "Books",
)
"""The sorts of damages, headings of the page."""


@dataclass(frozen=True)
class Damage:
    """A change that somebody made to a table or to its books.

    Attributes:
        what: In words.
        group: The sort of it: a heading.
        table: The table whose checks have to notice.
        statements: What was done, in SQL.
        red: The checks of the table that turn red, and no others.
        dependents: The checks that turn red, and no others, of tables that refer to the table.
        restored_by: What has to be done before the table is materialized, in SQL; empty where that is enough.
        materialize: What puts it right.
        is_no_go: The sign-off itself finds it, where no check of a table does.
    """

    what: str
    group: str
    table: str
    statements: tuple[str, ...]
    red: frozenset[Layer]
    dependents: Mapping[str, frozenset[Layer]] = field(default_factory=dict)
    restored_by: str = ""
    materialize: str = ""
    is_no_go: bool = False


def _changed(table: str, assigned: str, condition: str = "TRUE") -> str:
    """Returns the statement that changes the last row that meets a condition."""
    chosen = f'(SELECT max(id::text)::uuid FROM "{table}" WHERE {condition})'
    return f'UPDATE "{table}" SET {assigned} WHERE id = {chosen}'


def _uuid_of(collection: str, object_id: str) -> str:
    return str(document_uuid(collection, ObjectId(object_id)))


def _line(book: str, action: str, table: str, condition: str = "TRUE") -> str:
    """Returns the statement that acts on one line of a book of a table."""
    book = f"migration.{book}"
    chosen = f"SELECT ctid FROM {book} WHERE target_table = '{table}' AND {condition} LIMIT 1"
    return f"{action.format(book)} WHERE ctid = ({chosen})"


def _value(
    what: str, table: str, *statements: str, red: frozenset[Layer] = frozenset({VALUES})
) -> Damage:
    return Damage(what, VALUE, table, statements, red)


def _book(what: str, table: str, statement: str, *red: Layer, materialize: str = "") -> Damage:
    return Damage(what, BOOKS, table, (statement,), frozenset(red), materialize=materialize)


def _unknown(what: str, action: str) -> Damage:
    statement = _line("unmapped_fields", action, UUID_MAP)
    return replace(_book(what, "ImageUpload", statement, materialize=UUID_MAP), is_no_go=True)


_FIRST_PAIR = """(SELECT document_id, task_id FROM "DocumentsToTasks" ORDER BY 1, 2 LIMIT 1)"""
_NOWHERE = "019a0000-0000-7000-8000-000000000000"

DAMAGES: tuple[Damage, ...] = (
    # Rows
    Damage(
        "a row is deleted",
        ROW,
        "tasksComments",
        (
            'DELETE FROM "tasksComments" WHERE id = (SELECT max(id::text)::uuid FROM "tasksComments" '
            'WHERE "user" IS NOT NULL)',
        ),
        frozenset({ROW_COUNT, VALUES, REFERENCES}),
    ),
    Damage(
        "a row without references is deleted",
        ROW,
        "ImageUpload",
        ('DELETE FROM "ImageUpload" WHERE id = (SELECT max(id::text)::uuid FROM "ImageUpload")',),
        frozenset({ROW_COUNT, VALUES}),
    ),
    Damage(
        "a row is deleted that others refer to",
        ROW,
        "invoice_States",
        (
            'DELETE FROM "invoice_States" WHERE id = '
            '(SELECT invoice_state_id FROM "Invoices" WHERE invoice_state_id IS NOT NULL LIMIT 1)',
        ),
        frozenset({ROW_COUNT, VALUES}),
        {"Invoices": frozenset({VALUES, REFERENCES})},
    ),
    Damage(
        "a row is added",
        ROW,
        "crm_Industry_Type",
        (f"INSERT INTO \"crm_Industry_Type\" VALUES ('{_NOWHERE}', 0, 'x')",),
        frozenset({ROW_COUNT, VALUES}),
    ),
    Damage(
        "a row has another id",
        ROW,
        "ImageUpload",
        (_changed("ImageUpload", f"id = '{_NOWHERE}'"),),
        frozenset({VALUES}),
    ),
    Damage(
        "the values of two rows are swapped",
        ROW,
        "crm_Industry_Type",
        (
            """UPDATE "crm_Industry_Type" a SET name = b.name FROM "crm_Industry_Type" b
               WHERE (a.id, b.id) IN (SELECT min(id::text)::uuid, max(id::text)::uuid FROM "crm_Industry_Type"
               UNION SELECT max(id::text)::uuid, min(id::text)::uuid FROM "crm_Industry_Type")""",
        ),
        frozenset({VALUES}),
    ),
    # Values
    _value("a text is changed", "crm_Accounts", _changed("crm_Accounts", "name = name || '!'")),
    _value(
        "a value becomes NULL",
        "Tasks",
        _changed("Tasks", "content = NULL", "content IS NOT NULL"),
        red=frozenset({ROW_COUNT, VALUES}),
    ),
    _value(
        "NULL becomes a value",
        "Tasks",
        _changed("Tasks", "content = ''", "content IS NULL"),
        red=frozenset({ROW_COUNT, VALUES}),
    ),
    _value("a number is truncated", "Invoices", _changed("Invoices", "__v = __v / 10", "__v > 0")),
    _value(
        "a time is shifted by a millisecond",
        "crm_Contracts",
        _changed(
            "crm_Contracts", '"createdAt" = "createdAt" + interval \'1 ms\'', '"createdAt" < now()'
        ),
    ),
    _value(
        "a boolean is turned",
        "system_Modules_Enabled",
        _changed("system_Modules_Enabled", "enabled = NOT enabled"),
    ),
    _value(
        "an enum has another of its labels",
        "Tasks",
        _changed("Tasks", "\"taskStatus\" = 'COMPLETE'", "\"taskStatus\" <> 'COMPLETE'"),
    ),
    _value(
        "a number in JSON lost digits",
        "Invoices",
        _changed(
            "Invoices",
            "invoice_items = jsonb_set(invoice_items, '{0,unit_price}', "
            "to_jsonb(trunc((invoice_items #>> '{0,unit_price}')::numeric, 6)))",
            "scale((invoice_items #>> '{0,unit_price}')::numeric) > 6",
        ),
    ),
    _value(
        "a key of JSON is gone",
        "Invoices",
        _changed(
            "Invoices",
            "invoice_items = invoice_items #- '{0,vat}'",
            "invoice_items #> '{0,vat}' IS NOT NULL",
        ),
    ),
    _value(
        "a wrapper of Extended JSON is damaged",
        "Tasks",
        _changed("Tasks", 'tags = \'{"$oid": "none"}\'', "tags IS NOT NULL"),
    ),
    _value(
        "an array of texts is in another order",
        "crm_Contacts",
        _changed("crm_Contacts", "tags = tags[2:] || tags[1]", "tags[1] <> tags[2]"),
    ),
    _value(
        "an element of an array is lost",
        "crm_Contacts",
        _changed("crm_Contacts", "tags = tags[2:]", "tags <> '{}'"),
        red=frozenset({ROW_COUNT, VALUES}),
    ),
    # References
    Damage(
        "a reference points to another row",
        REFERENCE,
        "tasksComments",
        (
            """UPDATE "tasksComments" c
               SET "user" = (SELECT u.id FROM "Users" u WHERE u.id <> c."user" LIMIT 1)
               WHERE id = (SELECT max(id::text)::uuid FROM "tasksComments" WHERE "user" IS NOT NULL)""",
        ),
        frozenset({VALUES, REFERENCES}),
    ),
    Damage(
        "a text that may be two documents points to the wrong one",
        REFERENCE,
        "crm_Accounts",
        (
            f"""UPDATE "crm_Accounts"
                SET industry = '{_uuid_of("crm_Industry_Type", "600000000000000000000013")}'
                WHERE id = '{_uuid_of("crm_Accounts", "600000000000000000000014")}'
                AND industry IS NOT NULL""",
        ),
        frozenset({VALUES, REFERENCES}),
    ),
    Damage(
        "a reference points nowhere",
        REFERENCE,
        "tasksComments",
        (_changed("tasksComments", f"\"user\" = '{_NOWHERE}'", '"user" IS NOT NULL'),),
        frozenset({VALUES, REFERENCES}),
    ),
    Damage(
        "a reference is lost",
        REFERENCE,
        "Invoices",
        (_changed("Invoices", "invoice_state_id = NULL", "invoice_state_id IS NOT NULL"),),
        frozenset({ROW_COUNT, VALUES, REFERENCES}),
    ),
    Damage(
        "an array of references is in another order",
        REFERENCE,
        "Boards",
        (
            _changed(
                "Boards",
                '"sharedWith" = "sharedWith"[2:] || "sharedWith"[1]',
                'cardinality("sharedWith") > 1 AND "sharedWith"[1] <> "sharedWith"[2]',
            ),
        ),
        frozenset({VALUES, REFERENCES}),
    ),
    Damage(
        "a reference held as text is changed",
        REFERENCE,
        "TodoList",
        (_changed("TodoList", "\"user\" = replace(\"user\", '-', '')", "\"user\" ~ '-'"),),
        frozenset({VALUES, REFERENCES}),
    ),
    # Pairs
    Damage(
        "a pair is lost",
        PAIR,
        "DocumentsToTasks",
        (f'DELETE FROM "DocumentsToTasks" WHERE (document_id, task_id) = {_FIRST_PAIR}',),
        frozenset({ROW_COUNT, VALUES, REFERENCES}),
    ),
    Damage(
        "a pair points to another row",
        PAIR,
        "DocumentsToTasks",
        (
            f"""UPDATE "DocumentsToTasks" p SET task_id = (
                  SELECT t.id FROM "Tasks" t WHERE NOT EXISTS (
                    SELECT FROM "DocumentsToTasks" o
                    WHERE o.document_id = p.document_id AND o.task_id = t.id) LIMIT 1)
                WHERE (document_id, task_id) = {_FIRST_PAIR}""",
        ),
        frozenset({VALUES, REFERENCES}),
    ),
    Damage(
        "a pair is added",
        PAIR,
        "DocumentsToTasks",
        (
            """INSERT INTO "DocumentsToTasks" SELECT d.id, t.id FROM "Documents" d, "Tasks" t
               WHERE (d.id, t.id) NOT IN (SELECT document_id, task_id FROM "DocumentsToTasks") LIMIT 1""",
        ),
        frozenset({ROW_COUNT, VALUES, REFERENCES}),
    ),
    # Types
    Damage(
        "a time without end",
        TYPE,
        "crm_Contracts",
        (_changed("crm_Contracts", "\"startDate\" = '-infinity'", '"startDate" IS NOT NULL'),),
        frozenset({VALUES, TYPES}),
    ),
    Damage(
        "JSON null for NULL",
        TYPE,
        "Tasks",
        (_changed("Tasks", "tags = 'null'", "tags IS NULL"),),
        frozenset({ROW_COUNT, VALUES, TYPES}),
    ),
    Damage(
        "a number in JSON that no BSON type holds",
        TYPE,
        "Tasks",
        (_changed("Tasks", "tags = '[0.10000000000000000001]'", "tags IS NOT NULL"),),
        frozenset({VALUES, TYPES}),
    ),
    Damage(
        "NULL in an array",
        TYPE,
        "crm_Contacts",
        (_changed("crm_Contacts", "notes = array_append(notes, NULL)"),),
        frozenset({ROW_COUNT, VALUES, TYPES}),
    ),
    Damage(
        "an array of two dimensions",
        TYPE,
        "crm_Contacts",
        (_changed("crm_Contacts", "tags = ARRAY[tags]", "tags <> '{}'"),),
        frozenset({VALUES, TYPES}),
    ),
    Damage(
        "a column has another type",
        TYPE,
        "Employees",
        ('ALTER TABLE "Employees" ALTER __v TYPE numeric',),
        frozenset({TYPES}),
        restored_by='ALTER TABLE "Employees" ALTER __v TYPE integer',
    ),
    Damage(
        "a column lost NOT NULL",
        TYPE,
        "Employees",
        ('ALTER TABLE "Employees" ALTER name DROP NOT NULL',),
        frozenset({TYPES}),
        restored_by='ALTER TABLE "Employees" ALTER name SET NOT NULL',
    ),
    Damage(
        "a column has another default",
        TYPE,
        "crm_Contracts",
        ("ALTER TABLE \"crm_Contracts\" ALTER status SET DEFAULT 'SIGNED'",),
        frozenset({TYPES}),
        restored_by="ALTER TABLE \"crm_Contracts\" ALTER status SET DEFAULT 'NOTSTARTED'",
    ),
    Damage(
        "a column is added",
        TYPE,
        "Employees",
        ('ALTER TABLE "Employees" ADD COLUMN added text',),
        frozenset({TYPES}),
        restored_by='ALTER TABLE "Employees" DROP COLUMN added',
    ),
    # Books
    _book(
        "a rejected document is gone",
        "gpt_models",
        _line("rejected_documents", "DELETE FROM {}", "gpt_models"),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "a rejected document is changed",
        "gpt_models",
        _line("rejected_documents", "UPDATE {} SET document = '{{}}'", "gpt_models"),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "a nulled value is gone",
        "Tasks",
        _line("issues", "DELETE FROM {}", "Tasks", "kind = 'nulled'"),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "the original of a nulled value is changed",
        "Tasks",
        _line("issues", "UPDATE {} SET original = '1'", "Tasks", "kind = 'nulled'"),
        VALUES,
    ),
    _book(
        "the original `true` of a nulled value becomes `1`",
        "Tasks",
        _line(
            "issues",
            "UPDATE {} SET original = '1'",
            "Tasks",
            "kind = 'nulled' AND original = 'true'",
        ),
        VALUES,
    ),
    _book(
        "the reason of a nulled value is changed",
        "Tasks",
        _line("issues", "UPDATE {} SET reason = 'x'", "Tasks", "kind = 'nulled'"),
        VALUES,
    ),
    _book(
        "the reason of an orphaned element is changed",
        "DocumentsToLeads",
        _line("issues", "UPDATE {} SET reason = 'x'", "DocumentsToLeads", "kind = 'orphaned'"),
        VALUES,
    ),
    _book(
        "the reason of a rejected document is changed",
        "gpt_models",
        _line(
            "rejected_documents", "UPDATE {} SET reason = 'x'", "gpt_models", "field IS NOT NULL"
        ),
        VALUES,
    ),
    _book(
        "an altered value is gone",
        "MyAccount",
        _line("issues", "DELETE FROM {}", "MyAccount", "kind = 'altered'"),
        VALUES,
    ),
    _book(
        "an orphaned reference is gone",
        "crm_Leads",
        _line("issues", "DELETE FROM {}", "crm_Leads", "kind = 'orphaned'"),
        ROW_COUNT,
        VALUES,
        REFERENCES,
    ),
    _book(
        "an orphaned element of a relation is gone",
        "DocumentsToLeads",
        _line("issues", "DELETE FROM {}", "DocumentsToLeads", "kind = 'orphaned'"),
        ROW_COUNT,
        VALUES,
        REFERENCES,
    ),
    _book(
        "a line is invented",
        "Employees",
        "INSERT INTO migration.issues VALUES "
        "('Employees', 'Employees', '\"x\"', 'name', 'altered', NULL, 'x', '1')",
        VALUES,
    ),
    _book(
        "a lossless conversion is counted otherwise",
        "Tasks",
        _line("conversions", "UPDATE {} SET count = count + 1", "Tasks", "kind = 'coerced'"),
        VALUES,
    ),
    _book(
        "a default is counted otherwise",
        "gpt_models",
        _line("conversions", "UPDATE {} SET count = count + 1", "gpt_models", "kind = 'defaulted'"),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "a repeated pair is counted otherwise",
        "DocumentsToInvoices",
        _line(
            "conversions",
            "UPDATE {} SET count = count + 1",
            "DocumentsToInvoices",
            "kind = 'repeated'",
        ),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "an asymmetric pair is counted otherwise",
        "DocumentsToAccounts",
        _line(
            "conversions",
            "UPDATE {} SET count = count + 1",
            "DocumentsToAccounts",
            "kind = 'asymmetric'",
        ),
        ROW_COUNT,
        VALUES,
    ),
    _book(
        "an unknown field is gone",
        "Tasks",
        _line("unmapped_fields", "DELETE FROM {}", "Tasks"),
        VALUES,
    ),
    _book(
        "a document is gone from the UUID map",
        "Documents_Types",
        'DELETE FROM migration.uuid_map WHERE id = (SELECT min(id::text)::uuid FROM "Documents_Types")',
        ROW_COUNT,
        VALUES,
        materialize=UUID_MAP,
    ),
    _book(
        "a document has another `_id` in the UUID map",
        "Documents_Types",
        "UPDATE migration.uuid_map SET source_id = repeat('0', 24) "
        'WHERE id = (SELECT min(id::text)::uuid FROM "Documents_Types")',
        VALUES,
        materialize=UUID_MAP,
    ),
    _book(
        "a row is marked as waiting for its deletion",
        "Employees",
        "INSERT INTO migration.pending_deletes SELECT 'Employees', min(id::text)::uuid FROM \"Employees\"",
        ROW_COUNT,
    ),
    _unknown("a document of an unknown collection is gone from the books", "DELETE FROM {}"),
    _unknown(
        "a document of an unknown collection is changed in the books",
        "UPDATE {} SET fields = '{{}}'",
    ),
    _book(
        "the reason of a lossless conversion is changed",
        "Tasks",
        _line("conversions", "UPDATE {} SET reason = 'x'", "Tasks", "kind = 'coerced'"),
    ),
)
"""Each is a test. A damage without a red check is a gap, and the page shows it as one."""


_HEAD = """\
# Failures and the checks that notice them

Written by the tests: each line is one of them (`migration_assets_tests/support/damages.py`). It
does this to a loaded target, runs the four checks, and demands that exactly the marked ones turn red:
of the table, and of every table that refers to it where rows or books are concerned. Then it
materializes the table alone, and demands that all is as it was.
"""

_TAIL = """\
## What the sign-off sees besides

Each of these is a NO-GO (`test_sign_off.py`, `test_origin.py`, `test_go_live.py`):

| what happens | the finding says |
|---|---|
| rows, NOT NULL, a primary key or lines of the books are changed after the checks | touched since |
| the UUID map, or what it keeps of unknown collections, is changed | the map was touched |
| an index or a foreign key is dropped or replaced after it was built | its name |
| a load during or after the check; a document that an id names is gone since | older than the data |
| the program, its model or a library was replaced after the load | loaded by another version |
| a collection that had documents is gone, or has none | what it had at its last load |
| no collection is one that was loaded before: a wrong URL, or a restored dump | filled from another source |
| after a signed GO, a load of a table that was written to | the load is refused, with who signed |

## What no check sees

A line above without a mark is such a gap, unless it says that the sign-off finds it: nobody compares the
words of a lossless conversion's reason, which only tell apart what is counted. Loading again puts them right.
Besides:

- **Why a document cannot be read at all**: that is said in the driver's words, which nobody else knows. That
  it cannot be read, and its bytes, are compared.
- **The record of checks, loads and verdicts** (`check_results`, `loads`, `batches`,
  `document_digests`, `sign_offs`). Who
  may write to the schema `migration` can forge a green check. Run `migration-assets validate` with a
  role of your own to be sure.
- **Indexes, foreign keys and triggers.** The checks look at tables. Materializing
  `migration/constraints`, and the sign-off, look at indexes and foreign keys; nothing looks at triggers.
- **Tables that the model does not know**, in the same database.
- **An object of JSON that looks like a wrapper of Extended JSON** may be a user's own, so `types` takes
  it; that it is not what the source has is for `values` to see.
- **What happens after a check has run** the sign-off finds: a result counts only for the load, the rows
  and the books that the check has seen, and the source is compared with what was loaded. It goes by
  marks, without reading a value: what changes values below SQL, such as a damaged disk, is not seen until
  the checks run again.
"""


def page() -> str:
    """Returns `docs/reference/failures.md`."""
    return "\n".join([_HEAD, *map(_section, (ROW, VALUE, REFERENCE, PAIR, TYPE, BOOKS)), _TAIL])


def _section(group: str) -> str:
    lines = [
        f"## {group}\n",
        f"| what was done | table | {' | '.join(f'`{layer}`' for layer in Layer)} | put right by |",
        f"|---|---|{':-:|' * len(Layer)}---|",
        *(_row(damage) for damage in DAMAGES if damage.group == group),
    ]
    return "\n".join(lines) + "\n"


def _row(damage: Damage) -> str:
    marks = " | ".join("●" if layer in damage.red else "" for layer in Layer)
    of_others = "; ".join(
        f"{' and '.join(f'`{layer}`' for layer in Layer if layer in red)} of `{name}` too"
        for name, red in damage.dependents.items()
    )
    of_others = "the sign-off is a NO-GO" if damage.is_no_go else of_others
    what = f"{damage.what} ({of_others})" if of_others else damage.what
    asset = f"`migration/{damage.materialize}`" if damage.materialize else "the table"
    repair = f"its definition, then {asset}" if damage.restored_by else asset
    return f"| {what} | `{damage.table}` | {marks} | {repair} |"
