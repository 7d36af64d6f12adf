"""A draft of the file of remediations, from the expected losses of a run. Nothing in it applies by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from migration_assets.causes.names import nearest
from migration_assets.causes.origins import known_from
from migration_assets.causes.proposals import Confidence, Proposal, proposals, rule_name, rule_text
from migration_assets.causes.rehearsal import ExpectedLosses, rehearse
from migration_assets.causes.tracing import Cause, causes_of
from migration_assets.causes.words import follows, what
from migration_assets.errors import RemediationError
from migration_assets.model import Model, fields
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.united import united
from migration_assets.text import counted, printable

EXAMPLES = 3
"""Keys of documents that are named beside a rule."""

_HEAD = "version: 1\nrules:\n"
_BLOCK = re.compile(r"(?P<comment>(?:^  #.*\n)*)(?P<rule>^  - .*\n(?:^    .*\n)*)", re.MULTILINE)
_NAME = re.compile(r"name: *(?P<name>[^,\s}]+)")


@dataclass(slots=True)
class Draft:
    """A draft as it grows; a rule that the parser would refuse is a comment in it.

    Attributes:
        model: The application's tables.
        text: What there is of it.
        decisions: Causes for which a person has to choose something.
        indent: What stands before each rule.
    """

    model: Model
    text: str = _HEAD
    decisions: int = 0
    indent: str = "  "

    def add(self, comment: Sequence[str], proposed: Proposal) -> None:
        """Adds the rules of a proposal; one that leaves a choice as a comment."""
        is_choice = proposed.confidence is Confidence.CHOICE
        rules = "".join(self.indent + rule_text(rule) for rule in proposed.rules)
        why_not = "" if is_choice else _mistakes(self.model, self.text + rules)
        lines = [*comment, f"confidence: {proposed.confidence}; {proposed.why}"]
        if why_not:
            lines.append(f"not taken over: {why_not}")
        # A name of the source may hold what ends a line, and would be a rule then.
        self.text += "\n" + "".join(f"{self.indent}# {printable(line)}\n" for line in lines)
        self.text += (
            re.sub(f"^{self.indent}(?=-)", f"{self.indent}# ", rules, flags=re.MULTILINE)
            if is_choice or why_not
            else rules
        )


def shipped_text(model: Model) -> str:
    """Returns the file of rules that the project ships for an application; a file of none without any."""
    shipped = model.shipped_rules
    return _HEAD if shipped is None else shipped.read_text(encoding="utf-8")


def draft(model: Model, source: SourceDatabase, existing: str = "") -> Draft:
    """Returns a draft of the rules that a source needs.

    Args:
        model: The application's tables.
        source: The source database.
        existing: The text of the rules that there are already, which the draft begins with; where empty,
            those that the project ships are tried, and the draft has the ones that the source needs.

    Raises:
        RemediationError: The existing rules have mistakes, or no rule can be added to them.
    """
    indent = _indent(existing) if existing else "  "
    text = existing or shipped_text(model)
    rules = parse_remediations(model, text, file="given" if existing else "shipped")
    united_source = united(source, rules.counted_as)
    rehearsal = rehearse(model, united_source, rules)
    begun = existing.rstrip() + "\n" if existing else _HEAD + "".join(_needed(text, rehearsal))
    result = Draft(model, begun, indent=indent)
    causes = causes_of(rehearsal.losses, known_from(model, united_source, rehearsal.losses))
    for cause, proposed in proposals(model, causes, united_source, with_values=True):
        result.decisions += proposed.confidence is Confidence.CHOICE
        result.add(_said(cause), proposed)
    for comment, renamed in (
        *_renamed_fields(model, united_source, rehearsal),
        *_renamed_collections(model, united_source),
    ):
        result.add(comment, renamed)
    return result


def _indent(text: str) -> str:
    """Returns the indentation of the rules of a text, so that one can be added.

    Raises:
        RemediationError: The rules are not one a line, or not the last of the text.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return ""  # the parser says it better
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    rules = next((value for key, value in entries if key.value == "rules"), None)
    if not isinstance(rules, yaml.SequenceNode):
        return ""
    if rules.flow_style or rules is not entries[-1][1]:
        raise RemediationError(
            "no rule can be added to this file",
            where=f"remediations, line {rules.start_mark.line + 1}",
            next_step="Let `rules:` be the last of it, with each rule on a line of its own after a dash; "
            "without a rule, leave --remediations out",
        )
    return " " * int(rules.start_mark.column)


def _needed(text: str, rehearsal: ExpectedLosses) -> Iterator[str]:
    """Yields the rules of a text that were applied, with their comments and how often."""
    for block in _BLOCK.finditer(text):
        named = _NAME.search(block["rule"])
        count = rehearsal.applied[named["name"]] if named else 0
        if count:
            yield f"\n{block['comment']}  # {counted(count, 'application')}\n{block['rule']}"


def _said(cause: Cause) -> list[str]:
    """Returns a cause in words, with keys of some of its documents."""
    lines = [what(cause)]
    if following := follows(cause):
        lines.append(f"what follows is {following}")
    keys = sorted(cause.missing_ids) or [" ".join(key) for key in sorted(cause.documents)]
    if keys:
        more = f" and {len(keys) - EXAMPLES:,} more" if len(keys) > EXAMPLES else ""
        lines.append(f"such as {', '.join(keys[:EXAMPLES])}{more}")
    return lines


def _renamed_fields(
    model: Model, source: SourceDatabase, rehearsal: ExpectedLosses
) -> Iterator[tuple[list[str], Proposal]]:
    """Yields a rule for each unknown field that has a near name, where no document has both."""
    for (collection, name), count in rehearsal.unknown_fields.most_common():
        if collection not in model.entities:
            continue
        current_name = nearest(name, fields(model.entities[collection]) - {"_id"})
        both = {name: {"$exists": True}, current_name or "": {"$exists": True, "$nin": [None, []]}}
        if current_name is None or source[collection].find_one(both, {"_id": 1}) is not None:
            continue
        rule = {
            "name": rule_name(collection, name, "as", current_name),
            "collection": collection,
            "field": current_name,
            "move": name,
        }
        yield (
            [
                f"{counted(count, 'document')} of {collection} have {name}, none of them has {current_name}"
            ],
            Proposal([rule], Confidence.MEDIUM, f"{name} may be an old name of {current_name}"),
        )


def _renamed_collections(
    model: Model, source: SourceDatabase
) -> Iterator[tuple[list[str], Proposal]]:
    """Yields a form of a rule for each unknown collection that has a near name."""
    for name in sorted(source.list_collection_names()):
        current_name = None if name in model.entities else nearest(name, model.entities)
        if current_name is None or name.startswith("system."):
            continue
        rule = {
            "name": rule_name(name, "as", current_name),
            "collection": name,
            "counts_as": current_name,
        }
        count = source[name].estimated_document_count()
        yield (
            [f"{counted(count, 'document')} of {name}, a collection that the model does not know"],
            Proposal(
                [rule], Confidence.CHOICE, f"it may be an old name of {current_name}; look at it"
            ),
        )


def _mistakes(model: Model, text: str) -> str:
    try:
        parse_remediations(model, text, file="draft")
    except RemediationError as error:
        return error.what
    return ""
