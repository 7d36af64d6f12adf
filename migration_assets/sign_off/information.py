"""What nobody has to do anything about, and somebody should know."""

from __future__ import annotations

from collections.abc import Iterator

from migration_assets.sign_off.blockers import CONSTRAINTS
from migration_assets.sign_off.check_states import WARNING, check_state
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.recorded import Recorded
from migration_assets.text import counted
from migration_assets.upgrade import release_of
from migration_assets.validation.evidence import Layer


def information(recorded: Recorded) -> Iterator[Finding]:
    """Yields what nobody has to do anything about."""
    for name in recorded.model.tables:
        for layer in Layer:
            result = recorded.results.get((name, layer))
            state = check_state(name, layer, recorded)
            if result is not None and state == WARNING:
                yield Finding(
                    name,
                    f"check {layer} warns: {result.summary}",
                    result.evidence.get("next_step", ""),
                    check=layer.value,
                    kind=WARNING,
                    count=result.evidence.get("failures", 0),
                )
    for rule in recorded.remediations:
        yield Finding(
            rule.collection,
            rule.said(),
            "" if rule.count else "Correct the rule, or take it out of the file",
            check="remediations",
            kind=rule.action.value if rule.count else "unused",
            field=rule.rule,
            count=rule.count,
        )
    for unmapped in recorded.unmapped:
        is_known = unmapped.collection in recorded.model.tables
        documents = counted(unmapped.documents, "document")
        yield Finding(
            unmapped.collection,
            f"{documents} with fields that the model does not know"
            if is_known
            else f"the model does not know this collection; {documents} of it kept",
            "Nothing is lost: they are in migration.unmapped_fields",
            check="model",
            kind="unmapped",
            count=unmapped.documents,
        )
    for index in () if recorded.missing else recorded.left_out:
        yield Finding(
            CONSTRAINTS,
            f"index {index}, an addition for searching, is not there",
            "The application does without; materialize migration/constraints to have it",
            check=CONSTRAINTS,
            kind="left_out",
            field=index,
            count=1,
        )
    release = release_of(recorded.model)
    for item, count in recorded.upgrade:
        yield Finding(
            item.table,
            f"{release}, {item.outcome}: {item.what}: {count:,}",
            item.next_step,
            check="upgrade",
            kind=item.outcome.value,
            field=item.field,
            count=count,
        )
