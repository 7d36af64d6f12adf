"""Findings by cause: from the losses on record to what one decision resolves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from bson import ObjectId

from migration_assets.causes.books import pointed_to, recorded_losses
from migration_assets.causes.draft import draft, shipped_text
from migration_assets.causes.losses import Loss
from migration_assets.causes.origins import known_from
from migration_assets.causes.proposals import Confidence, Proposal, proposal, proposals
from migration_assets.causes.rehearsal import rehearse
from migration_assets.causes.tracing import GONE, Root, causes_of
from migration_assets.causes.words import what
from migration_assets.conversion.values import NOT_UNIQUE
from migration_assets.errors import RemediationError
from migration_assets.nextcrm import NEXTCRM
from migration_assets.nextcrm.sample.history import generate_history
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.united import united
from migration_assets_tests.support.loaded_sample import Loaded, open_losses

USER = "64b000000000000000000a01"
BOARD = "64b000000000000000000b01"


def _rejected_for(
    collection: str, source_id: str, field: str, points_to: str, missing: str
) -> Loss:
    return Loss(
        collection,
        collection,
        field,
        "rejected",
        f"no row of {points_to} has this id",
        source_id=source_id,
        points_to=points_to,
        missing_id=missing,
    )


def _orphaned(collection: str, field: str, points_to: str, missing: str, count: int = 1) -> Loss:
    return Loss(
        collection,
        collection,
        field,
        "orphaned",
        f"no row of {points_to} has this id",
        count,
        points_to=points_to,
        missing_id=missing,
    )


def test_what_one_missing_user_takes_along_is_one_cause() -> None:
    losses = [
        _rejected_for("Boards", BOARD, "user", "Users", USER),
        _rejected_for("Sections", "s1", "board", "Boards", BOARD),
        *(
            _rejected_for("Tasks", f"t{number}", "section", "Sections", "s1")
            for number in range(40)
        ),
        _orphaned("crm_Accounts", "createdBy", "Users", USER, 3),
        _orphaned("Documents", "tasksIDs", "Tasks", "t7"),
    ]
    (cause,) = causes_of(losses, {})
    assert cause.root == Root("Users", "", GONE)
    assert cause.missing_ids == {USER: 4}
    assert len(cause.documents) == 42
    assert cause.direct.total() == 4
    assert cause.consequences[("Tasks", "Tasks", "section", "rejected")] == 40
    assert cause.consequences[("Documents", "Documents", "tasksIDs", "orphaned")] == 1


def test_a_document_with_two_wrong_fields_waits_for_both_causes() -> None:
    losses = [
        _rejected_for("Boards", BOARD, "user", "Users", USER),
        Loss("Boards", "Boards", "title", "rejected", "missing", source_id=BOARD),
        _rejected_for("Sections", "s1", "board", "Boards", BOARD),
    ]
    causes = {cause.root: cause for cause in causes_of(losses, {})}
    assert set(causes) == {
        Root("Users", "", GONE),
        Root("Boards", "title", "rejected"),
    }
    assert all(len(cause.documents) == 2 for cause in causes.values())


def test_missing_ids_are_apart_by_where_they_are_known_from() -> None:
    losses = [
        _orphaned("tasksComments", "task", "Tasks", "a"),
        _orphaned("tasksComments", "task", "Tasks", "b"),
    ]
    causes = causes_of(losses, {("Tasks", "a"): "documents of crm_Accounts_Tasks"})
    assert {cause.root.known_from for cause in causes} == {"", "documents of crm_Accounts_Tasks"}


def test_an_accepted_loss_is_no_finding_and_still_the_cause_of_others() -> None:
    accepted = Loss(
        "Boards", "Boards", "title", "rejected", "missing", source_id=BOARD, is_accepted=True
    )
    (cause,) = causes_of([accepted, _orphaned("Sections", "board", "Boards", BOARD)], {})
    assert cause.root == Root("Boards", "title", "rejected")
    assert (cause.direct.total(), cause.consequences.total(), cause.documents) == (0, 1, set())


def test_documents_that_refer_to_each_other_end() -> None:
    losses = [
        _rejected_for("A", "1", "b", "B", "2"),
        _rejected_for("B", "2", "a", "A", "1"),
    ]
    roots = {cause.root for cause in causes_of(losses, {})}
    assert roots == {Root("A", "", GONE), Root("B", "", GONE)}


@pytest.mark.parametrize(
    ("reference", "source_id"),
    [
        (ObjectId(USER), USER),
        (USER.upper(), USER),
        ([ObjectId(USER)], USER),
        ("New", '"New"'),
        (7, '{"$numberInt":"7"}'),
    ],
)
def test_a_reference_names_a_source_id(reference: object, source_id: str) -> None:
    assert pointed_to(reference) == source_id


def _counted(losses: list[Loss]) -> Counter[Loss]:
    """Losses without the parts that a rehearsal lacks, equal ones counted together."""
    counted: Counter[Loss] = Counter()
    for loss in losses:
        counted[replace(loss, count=1, keys=0, originals=())] += loss.count
    return counted


def test_a_rehearsal_loses_what_a_run_loses(faulty_sample: Loaded) -> None:
    rehearsed = rehearse(NEXTCRM, faulty_sample.source).losses
    recorded = recorded_losses(NEXTCRM, faulty_sample.connection)
    assert _counted(rehearsed) == _counted(recorded)
    assert {loss.kind for loss in recorded} == {"rejected", "nulled", "altered", "orphaned"}


def test_nothing_secret_is_kept_for_a_rule(faulty_sample: Loaded) -> None:
    losses = [
        *rehearse(NEXTCRM, faulty_sample.source).losses,
        *recorded_losses(NEXTCRM, faulty_sample.connection),
    ]
    assert SECRET_PREFIX not in repr([loss.originals for loss in losses])


def test_every_loss_has_a_cause_and_every_cause_a_rule_that_can_be_read(
    faulty_sample: Loaded,
) -> None:
    losses = open_losses(faulty_sample.connection)
    causes = causes_of(losses, known_from(NEXTCRM, faulty_sample.source, losses))
    assert sum(cause.count for cause in causes) >= sum(loss.count for loss in losses)
    for cause in causes:
        assert what(cause)
        proposed = proposal(NEXTCRM, cause, faulty_sample.source, with_values=True)
        if proposed.confidence is not Confidence.CHOICE:
            rules = "version: 1\nrules:\n" + proposed.text()
            assert parse_remediations(NEXTCRM, rules, file=proposed.text()).rules


def test_no_proposal_accepts_more_than_its_cause(mongo_database: SourceDatabase) -> None:
    unreadable = Loss("Users", "Users", "", "rejected", "not valid BSON", source_id=USER)
    altered = Loss("Users", "Users", "name", "altered", "U+0000 became U+FFFD")
    nulled = Loss("Users", "Users", "name", "nulled", "array fits no rule")

    def proposed(*losses: Loss) -> dict[str, Proposal]:
        pairs = proposals(NEXTCRM, causes_of(losses, {}), mongo_database)
        return {cause.root.kind: proposal for cause, proposal in pairs}

    (rule,) = proposed(unreadable)["rejected"].rules
    assert rule["match"] == {"ids": [USER]}  # else whatever another document loses is accepted
    assert proposed(altered)["altered"].confidence is Confidence.MEDIUM
    assert proposed(altered, nulled)["altered"].confidence is Confidence.CHOICE


@pytest.mark.parametrize(
    ("action", "fields", "others"),
    [
        ("accept: true", {("Boards", "watchers"), ("Tasks", "createdBy")}, {("Boards", "user")}),
        (
            f"set: {{$oid: {USER}}}",
            {("Boards", "user")},
            {("Tasks", "createdBy"), ("Boards", "watchers")},
        ),
    ],
)
def test_one_rule_is_for_all_references_to_a_collection(
    action: str, fields: set[tuple[str, str]], others: set[tuple[str, str]]
) -> None:
    text = f"version: 1\nrules:\n- {{name: x, references_to: Users, match: orphaned, {action}}}"
    rules = parse_remediations(NEXTCRM, text).rules
    concerned = {(rule.collection, rule.field) for rule in rules}
    assert fields <= concerned
    assert not others & concerned
    assert {rule.name for rule in rules} == {"x"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("match: any, accept: true", "is for ids that are orphaned"),
        ("match: orphaned, field: user, accept: true", "there is no key 'field'"),
        ("match: orphaned, map: {a: b}", "there is no key 'map'"),
        ("match: orphaned", "exactly one of"),
    ],
)
def test_a_rule_for_all_references_says_what_is_wrong_with_it(rule: str, expected: str) -> None:
    text = f"version: 1\nrules:\n- {{name: x, references_to: Users, {rule}}}"
    with pytest.raises(RemediationError, match=expected):
        parse_remediations(NEXTCRM, text)


OWN_DECISIONS = """
  - {name: who-takes-over, references_to: Users, match: orphaned, set: {$oid: %s}}
  - {name: no-last-name, collection: crm_Leads, field: lastName, match: missing, set: (unknown)}
  - {name: no-address, collection: Users, field: email, match: missing, set: nobody@example.org}
  - name: typed-date
    collection: crm_Contacts
    field: cratedAt
    map: {"24.09.2023": {$date: "2023-09-24T00:00:00Z"}}
"""


def test_a_draft_brings_a_real_history_to_few_decisions(mongo_database: SourceDatabase) -> None:
    generate_history(mongo_database, scale=1)
    drafted = draft(NEXTCRM, mongo_database)
    assert parse_remediations(NEXTCRM, drafted.text, file="draft").rules
    assert drafted.decisions <= OWN_DECISIONS.count("name: ")
    shipped = parse_remediations(NEXTCRM, shipped_text(NEXTCRM))
    (moved,) = {str(rule.other) for rule in shipped.rules if rule.name == "board-created"}
    boards = mongo_database["Boards"].count_documents({moved: {"$ne": None}})
    assert rehearse(NEXTCRM, mongo_database, shipped).applied["board-created"] == boards
    (admin,) = mongo_database["Users"].find({}, {"_id": 1}).sort("_id", 1).limit(1)
    rules = parse_remediations(NEXTCRM, drafted.text + OWN_DECISIONS % admin["_id"], file="kept")
    losses = rehearse(NEXTCRM, united(mongo_database, rules.counted_as), rules).losses
    assert [loss for loss in losses if not loss.is_accepted] == []
    # All that is in no table: the comments that wait for a later step, and the later of two same users.
    rejected = Counter(loss.collection for loss in losses if loss.kind == "rejected")
    assert rejected == {"tasksComments": 38, "Users": 1}


def test_a_doubled_document_without_a_known_first_stays_a_finding(
    mongo_database: SourceDatabase,
) -> None:
    """A number and its text are one value in a column, but two in the source."""
    emails = {"1" * 24: "a", "2" * 24: "a", "3" * 24: "5", "4" * 24: 5}
    mongo_database["Users"].insert_many(
        {"_id": ObjectId(own), "email": email} for own, email in emails.items()
    )

    def proposed(*later: str) -> Proposal:
        losses = [
            Loss("Users", "Users", "email", "rejected", NOT_UNIQUE, source_id=own) for own in later
        ]
        return proposal(NEXTCRM, causes_of(losses, {})[0], mongo_database)

    redirect, accept = proposed("2" * 24, "4" * 24).rules
    assert redirect["redirect"] == {"2" * 24: "1" * 24}
    assert accept["match"] == {"ids": ["2" * 24]}
    assert proposed("4" * 24).confidence is Confidence.CHOICE


@pytest.mark.parametrize("indent", ["", "  ", "      "])
def test_a_draft_goes_on_with_rules_as_they_are_written(
    mongo_database: SourceDatabase, indent: str
) -> None:
    mongo_database["crm_campaigns"].insert_one({"name": "x", "statuss": "y"})
    mongo_database["Userss\n- {name: forged, collection: Users, accept: true}"].insert_one({})
    mongo_database["crm\ncampaigns"].insert_one({})
    rules_text = f"version: 1\nrules:\n{indent}- {{name: own, collection: Users, match: any, accept: true}}\n"
    drafted = draft(NEXTCRM, mongo_database, rules_text)
    names = {rule.name for rule in parse_remediations(NEXTCRM, drafted.text).rules}
    assert names == {"own", "crm_campaigns-statuss-as-status"}
    assert (
        '# - {"name": "crm_campaigns-as-crm_campaigns", "collection": "crm\\ncampaigns"'
        in drafted.text
    )


@pytest.mark.parametrize(
    "rules_text",
    [
        "version: 1\nrules: []\n",
        "{version: 1, rules: [{name: own, collection: Users, match: any, accept: true}]}",
        "rules:\n- {name: own, collection: Users, match: any, accept: true}\nversion: 1\n",
    ],
)
def test_a_draft_refuses_rules_that_it_cannot_go_on_with(
    mongo_database: SourceDatabase, rules_text: str
) -> None:
    with pytest.raises(RemediationError, match="no rule can be added to this file"):
        draft(NEXTCRM, mongo_database, rules_text)


def test_a_draft_without_a_rule_to_keep_can_be_run_with(mongo_database: SourceDatabase) -> None:
    mongo_database["user"].insert_one({})
    drafted = draft(NEXTCRM, mongo_database)
    assert "# - {name: user-as-Users" in drafted.text
    assert parse_remediations(NEXTCRM, drafted.text).rules == ()
    assert (
        parse_remediations(NEXTCRM, draft(NEXTCRM, mongo_database, drafted.text).text).rules == ()
    )
