"""The report as the UI shows it on the sign-off: verdict, decisions left, findings, all checks of all tables.

It is Markdown, since that is what the metadata of an asset can be. Its links lead to the UI's own pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from migration_assets.sign_off.page import MARKS, WORDS, moment, sentence
from migration_assets.sign_off.report import GREEN, Json
from migration_assets.sign_off.verdict import is_loss
from migration_assets.text import code, counted, markdown
from migration_assets.validation.evidence import Layer
from migration_assets.validation.pointers import check_path, checks_path

SHOWN = 50
"""Findings of a kind that are named; the report has all of them."""

_LONGEST_SIGNATURE = 200
"""Characters of a signature, which people write."""

REASONS: Mapping[str, str] = {
    "warning": "says something for information and does not stand against a GO",
    "failed": "found a difference, or losses that nobody has answered for",
    "stale": "the table, or one that it refers to, was loaded again since: run its checks",
    "touched": "somebody wrote to rows or books since: run its checks, or materialize the table",
    "missing": "never ran on this data: materialize the table",
}
"""By state of a check, why it is not simply green."""


def summary(report: Json, digest: str) -> str:
    """Returns the verdict and its figures as Markdown, short: Dagster hides 1,000 characters behind a link.

    Args:
        report: The report.
        digest: Its SHA-256.
    """
    figures, verdict = report["summary"], report["verdict"]
    decisions, others = _divided(report["findings"])
    lines = [
        f"## {verdict['headline']}, {markdown(verdict['signature'][:_LONGEST_SIGNATURE])}",
        "",
        sentence(report),
        "",
        f"- decisions left: **{len(decisions)}**, other findings: **{len(others)}**",
        f"- {figures['checks']:,} checks: "
        + ", ".join(words for words, _ in _counted_states(report)),
        f"- {figures['tablesPassed']:,} of {figures['totalTables']:,} tables are green",
        f"- {figures['totalRecords']:,} documents, {figures['rows']:,} rows, "
        f"{figures['rejected']:,} documents rejected",
        f"- values altered {figures['altered']:,}, nulled {figures['nulled']:,}, "
        f"references orphaned {figures['orphaned']:,}",
        f"- digest `{digest}`",
    ]
    return "\n".join(lines) + "\n"


def dashboard(report: Json) -> str:
    """Returns every check of every table and all findings as Markdown, what somebody has to do first."""
    decisions, others = _divided(report["findings"])
    lines = [
        *_findings("Decisions left, by cause", decisions),
        *_findings("Other findings", others),
        "",
        "### Tables and checks",
        "",
        *_matrix(report),
        *_findings("For information", report["information"]),
    ]
    if report["waivers"]:
        lines += ["", "### Waivers", "", *map(_waiver, report["waivers"])]
    return "\n".join(lines) + "\n"


def _divided(findings: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """Returns the findings that are losses to decide on, and those that are to be put right."""
    divided: tuple[list[Json], list[Json]] = ([], [])
    for finding in findings:
        divided[not is_loss(finding["check"], finding["kind"])].append(finding)
    return divided


def _counted_states(report: Json) -> Iterator[tuple[str, str]]:
    """Yields the states that checks are in, each with its mark and how many checks are in it."""
    tables = report["detailedResults"]
    states = Counter(check["state"] for table in tables for check in table["checks"].values())
    for state, mark in MARKS.items():
        if states[state]:
            yield f"{mark} {states[state]:,} {WORDS[state]}", state


def _matrix(report: Json) -> Iterator[str]:
    """Yields what each mark means, then a row for each table: those first that are not green."""
    for words, state in _counted_states(report):
        yield f"- {words}: {REASONS[state]}" if state in REASONS else f"- {words}"
    yield ""
    yield f"| table | {' | '.join(Layer)} |"
    yield f"|---|{':-:|' * len(Layer)}"
    for table in sorted(report["detailedResults"], key=_is_green):
        marks = [
            f"[{MARKS[table['checks'][layer]['state']]}]({check_path(table['name'], layer)})"
            for layer in Layer
        ]
        yield f"| {_table_link(table['name'])} | {' | '.join(marks)} |"


def _is_green(table: Json) -> bool:
    return all(check["state"] in GREEN for check in table["checks"].values())


def _findings(title: str, findings: Sequence[Json]) -> Iterator[str]:
    if findings:
        yield from ("", f"### {title}", "")
        yield from map(_bullet, findings[:SHOWN])
    if len(findings) > SHOWN:
        yield f"- and {counted(len(findings) - SHOWN, 'more finding')}, in the report"


def _bullet(finding: Json) -> str:
    is_of_table = finding["check"] in set(Layer)
    name = _table_link(finding["table"]) if is_of_table else markdown(finding["table"])
    text = f"{markdown(finding['what'])}. {markdown(finding['nextStep'])}"
    return f"- {name}: {text}. {code(finding['id'])}"


def _table_link(name: str) -> str:
    return f"[{markdown(name)}]({checks_path(name)})"


def _waiver(waiver: Json) -> str:
    since = f" (since {moment(waiver['since'])})" if waiver["since"] else ""
    void = "" if waiver["holds"] else f" **void:** {markdown(waiver['whyVoid'])}"
    who = f"{markdown(waiver['name'])}: {markdown(waiver['reason'])}"
    return f"- {code(waiver['finding'])} ({waiver['count']:,}) by {who}{since}{void}"
