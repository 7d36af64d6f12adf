"""The environment variables that the program reads: each stands here once, with all that holds for it.

A variable is read when its value is needed, so a wrong one stops only the commands that use it. An error
names the variable and never repeats its value, which may hold a password. ``docs/reference/environment.md``
is written from this module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from migration_assets.errors import MigrationError


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable; an empty one counts as unset.

    Attributes:
        name: Its name.
        meaning: What its value is for, in Markdown, with links relative to ``docs/reference``.
    """

    name: str
    meaning: str

    @property
    def unset(self) -> str:
        """What holds where it is unset, in Markdown."""
        raise NotImplementedError

    def _text(self) -> str | None:
        return os.environ.get(self.name) or None

    def _number(self, next_step: str) -> int | None:
        text = self._text()
        if text is not None and (not text.isdecimal() or int(text) == 0):
            raise MigrationError(
                "is not a whole number above 0", where=self.name, next_step=next_step
            )
        return None if text is None else int(text)


@dataclass(frozen=True, slots=True)
class Optional(Variable):
    """A variable without a default.

    Attributes:
        otherwise: What holds where it is unset, in Markdown.
    """

    otherwise: str

    @property
    def unset(self) -> str:
        """What holds where it is unset, in Markdown."""
        return self.otherwise


@dataclass(frozen=True, slots=True)
class OptionalText(Optional):
    """A variable of any text, without a default."""

    def read(self) -> str | None:
        """Returns the value; None where it is unset."""
        return self._text()


@dataclass(frozen=True, slots=True)
class Text(Variable):
    """A variable of any text.

    Attributes:
        default: The value where it is unset.
    """

    default: str

    @property
    def unset(self) -> str:
        """What holds where it is unset, in Markdown."""
        return f"`{self.default}`"

    def read(self) -> str:
        """Returns the value."""
        return self._text() or self.default


@dataclass(frozen=True, slots=True)
class Number(Variable):
    """A variable of a whole number above 0.

    Attributes:
        default: The value where it is unset.
    """

    default: int

    @property
    def unset(self) -> str:
        """What holds where it is unset, in Markdown."""
        return str(self.default)

    def read(self) -> int:
        """Returns the value.

        Raises:
            MigrationError: It is not a whole number above 0.
        """
        return self._number(f"Unset it for {self.default}, or give a number") or self.default


@dataclass(frozen=True, slots=True)
class OptionalNumber(Optional):
    """A variable of a whole number above 0, whose default hangs on the machine."""

    def read(self) -> int | None:
        """Returns the value; None where it is unset.

        Raises:
            MigrationError: It is not a whole number above 0.
        """
        return self._number("Unset it, or give a number")


@dataclass(frozen=True, slots=True)
class Choice(Variable):
    """A variable that is one of two words.

    Attributes:
        words: The two words.
        default: The word where it is unset.
        next_step: What to do about a value that is neither.
    """

    words: tuple[str, str]
    default: str
    next_step: str

    @property
    def unset(self) -> str:
        """What holds where it is unset, in Markdown."""
        return f"`{self.default}`"

    def read(self) -> str:
        """Returns the word.

        Raises:
            MigrationError: The value is neither of the two.
        """
        word = self._text() or self.default
        if word not in self.words:
            raise MigrationError(
                f"is neither {' nor '.join(self.words)}",
                where=self.name,
                next_step=self.next_step,
            )
        return word


SOURCE_URL = OptionalText(
    "SOURCE_MONGODB_URL",
    "the source, with the name of the database: `mongodb://user:password@host:27017/nextcrm`. It is read "
    "from its primary with majority concern, whatever the URL says of that; where the names of a replica "
    "set's members are not known outside (Docker), name the primary and add `directConnection=true`",
    "the embedded server",
)
TARGET_URL = OptionalText(
    "TARGET_POSTGRES_URL",
    "the target: `postgresql://user:password@host:5432/nextcrm`",
    "the embedded server",
)
DAGSTER_URL = OptionalText(
    "DAGSTER_POSTGRES_URL",
    "Dagster's own storage: `postgresql+psycopg2://user:password@host/dagster`",
    "in memory for the command line; the embedded server for the UI",
)
DAGSTER_HOME = OptionalText(
    "DAGSTER_HOME", "the directory of `dagster.yaml`", "the working directory, for the UI"
)
MODEL = Text(
    "MIGRATION_MODEL",
    "the application's model, as `package.module:NAME` "
    "([another application](../how-to.md#fork-it-for-another-application))",
    "migration_assets.nextcrm:NEXTCRM",
)
REMEDIATIONS = OptionalText(
    "MIGRATION_REMEDIATIONS", "a file of [rules](../remediations.md)", "no rules"
)
REPORTS = Text("MIGRATION_REPORTS", "where the reports of sign-offs go", "reports")
EXECUTOR = Choice(
    "MIGRATION_EXECUTOR",
    "what distributes the steps of a run: `in_process`, one after the other, or `multiprocess`, tables "
    "that do not refer to each other side by side ([every core](../how-to.md#use-every-core))",
    ("in_process", "multiprocess"),
    "in_process",
    "Unset it, or give one of the two; any other executor is given to `build_defs`",
)
WORKERS = OptionalNumber(
    "MIGRATION_WORKERS",
    "how many processes share the ranges of a table, for loads and checks alike; `1`: none helps "
    "([every core](../how-to.md#use-every-core))",
    "the cores that the process may use, 32 at most; 1 with another executor than `in_process`",
)
ATTEMPTS = Number("MIGRATION_ATTEMPTS", "attempts when a connection is lost", 6)
SNAPSHOT = Choice(
    "MIGRATION_SNAPSHOT",
    "`on`: read every collection as of one moment, on a replica set "
    "([why not always](../decisions/0006-all-tables-as-of-one-moment-where-asked-for.md))",
    ("on", "off"),
    "off",
    "Set it to on to read every collection as of one moment, else unset it",
)
SERVER_DF = Choice(
    "MIGRATION_SERVER_DF",
    "`on`: the preflight may run `df` on a target on another machine (`COPY … FROM PROGRAM`; takes a "
    "superuser, or a member of `pg_execute_server_program`)",
    ("on", "off"),
    "off",
    "Set it to on to have the preflight run `df` on the server, else unset it",
)
DOCUMENTS_PER_BATCH = Number(
    "MIGRATION_DOCUMENTS_PER_BATCH",
    "documents that are read and converted at once; up to four times as many commit together",
    5000,
)
SAMPLE = Number(
    "MIGRATION_SAMPLE",
    "documents of each table that `values` draws at random, and lists (the first 20)",
    100,
)
SAMPLE_SEED = Number("MIGRATION_SAMPLE_SEED", "another number, other documents of that sample", 0)
ROLLBACK_URL = OptionalText(
    "ROLLBACK_MONGODB_URL",
    "the MongoDB database that `apply-gained` writes to ([rollback](../runbooks/rollback.md))",
    "`--to` must be given",
)
APPLICATION_URL = OptionalText(
    "MIGRATION_APP_URL",
    "the application's health endpoint, for [monitoring](../runbooks/monitoring.md)",
    "the KPIs of the API are not measured",
)
MONITOR_READINGS = OptionalText(
    "MIGRATION_MONITOR_READINGS", "a JSON file of values that another tool has measured", "none"
)
ALERT_WEBHOOK = OptionalText(
    "MIGRATION_ALERT_WEBHOOK", "where alerts go; a secret", "to the log alone"
)
MESSAGE_VALUES = OptionalText(
    "MIGRATION_MESSAGE_VALUES",
    "a YAML file of values for [messages](../messages/README.md)",
    "none",
)
EMBEDDED_HOME = Text(
    "MIGRATION_ASSETS_HOME", "the directory of the embedded servers", ".migration-assets"
)
EMBEDDED_POSTGRES = OptionalText(
    "EMBEDDED_POSTGRES_BIN",
    "the directory of the programs of another PostgreSQL, 15 or later, for the embedded server",
    "those of the package `embedded-postgres`",
)

VARIABLES: Mapping[str, Variable] = {
    variable.name: variable
    for variable in (
        SOURCE_URL,
        TARGET_URL,
        DAGSTER_URL,
        DAGSTER_HOME,
        MODEL,
        REMEDIATIONS,
        REPORTS,
        EXECUTOR,
        WORKERS,
        ATTEMPTS,
        SNAPSHOT,
        SERVER_DF,
        DOCUMENTS_PER_BATCH,
        SAMPLE,
        SAMPLE_SEED,
        ROLLBACK_URL,
        APPLICATION_URL,
        MONITOR_READINGS,
        ALERT_WEBHOOK,
        MESSAGE_VALUES,
        EMBEDDED_HOME,
        EMBEDDED_POSTGRES,
    )
}
"""All of them by name, in the order of the page."""
