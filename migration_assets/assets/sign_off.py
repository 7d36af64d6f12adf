"""The sign-off: who approves and what is waived come from the launchpad, the rest from both databases."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import (
    CONSTRAINTS,
    OWNERS,
    POOL,
    SIGN_OFF,
    UUID_MAP,
    table_key,
)
from migration_assets.assets.resources import RemediationFile, SourceMongo, TargetPostgres
from migration_assets.assets.retries import retried
from migration_assets.assets.sources import input_versions
from migration_assets.errors import MigrationError
from migration_assets.loading.ledger import latest_fingerprints
from migration_assets.model import Model
from migration_assets.settings import REPORTS
from migration_assets.sign_off.dashboard import dashboard, summary
from migration_assets.sign_off.signing import Signed, sign
from migration_assets.sign_off.waivers import Approval, Decision, parsed
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection
from migration_assets.target.ownership import withdraw

VERDICT = "verdict"
"""The name of the verdict, in the metadata of the sign-off and as its check."""

PAGE = "report"
"""The name of the report's file in the metadata of the sign-off."""

OP = SIGN_OFF.to_python_identifier()
"""The name under which a run's configuration has it."""


class WaiverConfig(dg.Config):
    """Somebody answers for a finding."""

    finding: str = Field(description="The id of the finding, as the report has it.")
    count: int = Field(description="How many of them are waived, as the report has it.")
    rows: str = Field(
        description="Which ones, as the report has it: where the rows change, it is void."
    )
    name: str = Field(description="Who answers for it.")
    reason: str = Field(description="Why it may stand.")
    until: str = Field(default="", description="Last day, as 2027-01-31; empty: no end.")


class SignOffConfig(dg.Config):
    """Who decides what; with nothing here, the verdict is given and not signed."""

    approver: str = Field(default="", description="Name of the person who signs.")
    role: str = Field(default="", description="Their role, such as migration lead or DBA.")
    decision: Decision = Field(
        default=Decision.APPROVE, description="APPROVE, or DECLINE for a NO-GO whatever is found."
    )
    waivers: list[WaiverConfig] = Field(default=[], description="Findings that may stand.")
    withdraw_waivers: bool = Field(
        default=False, description="Waivers of earlier sign-offs do not count any more."
    )
    withdraw: str = Field(
        default="",
        description="Name of the person who withdraws the signed GO: loads are not refused any more. "
        "Nobody signs in the same run.",
    )
    withdrawal_reason: str = Field(default="", description="Why it is withdrawn.")
    reports: str = Field(
        default="",
        description=f"Directory for the report; empty: {REPORTS.name}, else `reports` here.",
    )

    @property
    def is_withdrawing(self) -> bool:
        """Whether the signed GO is withdrawn."""
        return bool(self.withdraw or self.withdrawal_reason)

    def withdraw_go(self, connection: Connection) -> None:
        """Withdraws the signed GO that stands.

        Raises:
            MigrationError: Name or reason is missing, somebody signs too, or no signed GO stands.
        """
        if self.approver:
            raise MigrationError(
                "a sign-off cannot be given and withdrawn at once",
                where="sign-off",
                next_step="Withdraw first; sign in another run, when the checks are green again",
            )
        withdraw(connection, self.withdraw, self.withdrawal_reason)

    def approval(self) -> Approval:
        """Returns it as the sign-off takes it.

        Raises:
            MigrationError: A waiver is none.
        """
        entries = [waiver.model_dump() for waiver in self.waivers]
        return Approval(
            approver=self.approver.strip(),
            role=self.role.strip(),
            decision=self.decision,
            waivers=parsed(entries, "waivers of the run"),
            withdraws=self.withdraw_waivers,
        )


def run_config(approval: Approval, reports: str = "") -> dict[str, Any]:
    """Returns the part of a run's configuration that the sign-off reads."""
    config = {
        "approver": approval.approver,
        "role": approval.role,
        "decision": approval.decision.name,
        "waivers": [waiver.as_json() for waiver in approval.waivers],
        "withdraw_waivers": approval.withdraws,
        "reports": reports,
    }
    return {"ops": {OP: {"config": config}}}


def sign_off_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of the sign-off."""

    @dg.asset(
        key=SIGN_OFF,
        deps=[CONSTRAINTS, *[table_key(name) for name in model.tables]],
        group_name="migration",
        kinds={"report"},
        owners=OWNERS,
        pool=POOL,
        description="GO only when every check of every table has a fresh passing result or is waived by "
        "name, and nobody wrote to the source since it was read. To sign, shift-click Materialize: approver, "
        "role, decision and waivers are the configuration of the run. From a signed GO on the target is the "
        "application's: a table that was written to is not loaded until the GO is withdrawn. "
        "More in docs/sign-off.md.",
        op_tags={"dagster/priority": "-100"},
        check_specs=[
            dg.AssetCheckSpec(
                VERDICT,
                asset=SIGN_OFF,
                description="GO. Red: the findings say what to do, table by table; see docs/sign-off.md.",
            )
        ],
    )
    @guarded
    def sign_off(
        context: dg.AssetExecutionContext,
        config: SignOffConfig,
        source: SourceMongo,
        target: TargetPostgres,
        remediations: RemediationFile,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult | dg.AssetObservation]:
        """Evaluates every expected check and the source's fingerprints, and writes the report."""
        approval, rules = config.approval(), remediations.load(model)
        if config.is_withdrawing:
            with target.open() as connection:
                config.withdraw_go(connection)

        def signed_off() -> tuple[Signed, dict[str, str]]:
            with source.open(rules) as database, target.open() as connection:
                signed = sign(
                    model,
                    database,
                    connection,
                    approval,
                    directory=config.reports,
                    remediations=rules,
                )
                return signed, latest_fingerprints(connection, list(model.entities))

        signed, read = retried(context, signed_off)
        verdict = signed.verdict
        if all(finding.table != uuid_map.name for finding in verdict.findings):
            tell_map(context, read)
        metadata = sign_off_metadata(signed)
        if verdict.is_go:  # before its check, which would else stand beside the sign-off before
            yield dg.MaterializeResult(asset_key=SIGN_OFF, metadata=metadata)
        yield dg.AssetCheckResult(
            asset_key=SIGN_OFF,
            check_name=VERDICT,
            passed=verdict.is_go,
            description=f"{verdict.headline}, {verdict.signature}",
            metadata=metadata,
        )
        if not verdict.is_go:
            yield dg.AssetObservation(SIGN_OFF, metadata=metadata)
            raise dg.Failure(
                f"NO-GO: {len(verdict.findings)} findings. Correct them, materialize their tables, then "
                "this: to re-execute from failure takes the verdict anew, and loads no table whose step "
                "did not fail",
                metadata=metadata,
                allow_retries=False,
            )

    return sign_off


def tell_map(context: dg.AssetExecutionContext, read: Mapping[str, str]) -> None:
    """Tells Dagster again of the UUID map, of which collections it is: the loads have observed them since.

    Else it would be called out of date after each run that has found something new.

    Args:
        context: The step.
        read: Fingerprints of the collections that were loaded, by name.
    """
    event = context.instance.get_latest_materialization_event(UUID_MAP)
    told = None if event is None else event.asset_materialization
    tags = {} if told is None else {**(told.tags or {}), **input_versions(read)}
    if told is not None and tags != told.tags:
        context.log_event(dg.AssetMaterialization(UUID_MAP, metadata=told.metadata, tags=tags))


def sign_off_metadata(signed: Signed) -> describe.Metadata:
    """Returns what the UI shows of a sign-off."""
    verdict = signed.verdict
    columns = ("table", "what", "what to do", "id", "count", "rows")
    rows = [
        (finding.table, finding.what, finding.next_step, finding.id, finding.count, finding.rows)
        for finding in verdict.findings
    ]
    return {
        VERDICT: verdict.word,
        "signature": verdict.signature,
        "checks": verdict.checks,
        "summary": dg.MetadataValue.md(summary(signed.report, signed.digest)),
        "dashboard": dg.MetadataValue.md(dashboard(signed.report)),
        "findings": dg.MetadataValue.table(
            [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
            schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
        ),
        "waived": len([waiver for waiver in verdict.waived if not waiver.why_void]),
        PAGE: dg.MetadataValue.path(signed.page),
        "report for machines": dg.MetadataValue.path(signed.file),
        "digest": signed.digest,
    }
