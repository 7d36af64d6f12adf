"""The templates: Markdown files in `templates/`, with subject, audience, channel and timing in front."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

import yaml

from migration_assets.errors import MigrationError

WINDOW_START = "window_start"

_PLACEHOLDER = re.compile(r"\{\{ ([a-z_]+) \}\}")
_FILE = re.compile(r"(\d+)_(\w+)\.md")


@dataclass(frozen=True, slots=True)
class Template:
    """A message with placeholders.

    Attributes:
        number: Its number in operations, section 5; the status page comes after those.
        name: Its name on the command line.
        file: Name of its file.
        audience: Whom it is for.
        channel: Where it goes.
        timing: When it is sent.
        requires: The verdict without which it would not be true; empty where there is none.
        subject: Its subject.
        body: Its text.
    """

    number: int
    name: str
    file: str
    audience: str
    channel: str
    timing: str
    requires: str
    subject: str
    body: str

    def placeholders(self) -> list[str]:
        """Returns the names of its placeholders, in the order in which they come."""
        return list(dict.fromkeys(_PLACEHOLDER.findall(f"{self.subject}\n{self.body}")))

    def needs(self) -> list[str]:
        """Returns its placeholders, and the start of the window where it speaks of a verdict.

        Without it, the verdict of a rehearsal would be taken for that of the migration.
        """
        names = self.placeholders()
        return [*names, WINDOW_START] if self.requires and WINDOW_START not in names else names

    def filled(self, values: Mapping[str, str]) -> str:
        """Returns the message; ``values`` has one for every placeholder."""
        head = f"To: {self.audience}\nChannel: {self.channel}\nWhen: {self.timing}\n"
        return f"{head}Subject: {_fill(self.subject, values)}\n\n{_fill(self.body, values)}"


@cache
def templates() -> Mapping[str, Template]:
    """Returns the templates by name, in the order of their numbers."""
    parsed = [
        _template(file.name, file.read_text(encoding="utf-8"))
        for file in (resources(__package__) / "templates").iterdir()
        if file.name.endswith(".md")
    ]
    return {
        template.name: template for template in sorted(parsed, key=lambda template: template.number)
    }


def template(name: str) -> Template:
    """Returns a template by its name or number.

    Raises:
        MigrationError: There is none.
    """
    for candidate in templates().values():
        if name in (candidate.name, str(candidate.number)):
            return candidate
    raise MigrationError(
        f"there is no template {name!r}",
        where="message",
        next_step=f"Give a name or number: {', '.join(templates())}",
    )


def _template(file: str, text: str) -> Template:
    named = _FILE.fullmatch(file)
    assert named is not None, file
    _, front, body = text.split("---\n", 2)
    head = yaml.safe_load(front)
    return Template(
        number=int(named[1]),
        name=named[2].replace("_", "-"),
        file=file,
        audience=head["audience"],
        channel=head["channel"],
        timing=head["timing"],
        requires=head.get("requires", ""),
        subject=head["subject"],
        body=body,
    )


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
