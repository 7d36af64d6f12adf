"""Rules without servers: mistakes are named with their lines, and loader and judge apply rules alike."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from migration_assets.errors import RemediationError
from migration_assets.identity import canonical, document_uuid, from_canonical, source_id
from migration_assets.known_ids import Loaded
from migration_assets.nextcrm import ENTITIES, JUNCTIONS, NEXTCRM, TABLES
from migration_assets.nextcrm.sample import sample_remediations
from migration_assets.remediation.applying import Remedied, Remedies
from migration_assets.remediation.parsing import load_remediations, parse_remediations
from migration_assets.remediation.rules import (
    NO_REMEDIATIONS,
    NUMBER,
    TYPES,
    Action,
    Literal,
    Match,
    NumberFormat,
    Remediation,
)
from migration_assets.source.connection import CODEC
from migration_assets.validation import bson_reader
from migration_assets.validation.identities import Ids
from migration_assets.validation.judged_remediations import JudgedRules, entry_text
from migration_assets_tests.support.pages import DOCS

OWN = ObjectId("507f1f77bcf86cd799439011")
RULE = """
  - name: {name}
    collection: crm_Contacts
    field: tags
    {rest}
"""


def mistakes(rules: str, *, top: str = "version: 1\nrules:") -> dict[int, str]:
    """Returns the messages about mistakes, by line."""
    with pytest.raises(RemediationError) as caught:
        parse_remediations(NEXTCRM, f"{top}{rules}", file="here.yaml")
    assert caught.value.where == "remediations here.yaml"
    messages: dict[int, str] = {}
    for mistake in caught.value.what.split("; line "):
        line, _, message = mistake.removeprefix("line ").partition(": ")
        messages[int(line)] = message
    return messages


def test_all_mistakes_are_reported_with_their_lines() -> None:
    messages = mistakes(
        """
  - name: spelling
    collection: crm_Leads
    field: statu
    map: {newish: NEW}
  - name: spelling
    collection: crm_leads
    colour: red
    match: {any: true}
    drop: true
  - name: third
    collection: Users
    field: _id
    match: {ids: [nobody]}
    set: 1
"""
    )
    assert list(messages) == [5, 7, 8, 9, 14, 15]
    assert messages[5] == "the model knows no field 'statu' of crm_Leads; did you mean status?"
    assert messages[7] == "the name spelling is that of line 3 already"
    assert "did you mean crm_Leads?" in messages[8]
    assert "no key 'colour'" in messages[9]
    assert "identities are made of it" in messages[14]
    assert "source_id" in messages[15]


@pytest.mark.parametrize(
    ("rule_body", "expected"),
    [
        ("match: {any: true}", "it has none"),
        ("match: {any: true}\n    drop: true\n    set: x", "it has set and drop"),
        ("drop: true", "`match` is missing"),
        ("match: {}\n    drop: true", "`match` is empty"),
        ("match: {any: true, type: int}\n    drop: true", "exclude another"),
        ("match: {any: true}\n    drop: false", "drop can only be true"),
        ("match: {type: text}\n    drop: true", "there is no type 'text'"),
        ("match: {values: []}\n    drop: true", "the list is empty"),
        ("match: {values: [null]}\n    drop: true", "null is no value"),
        ("match: {missing: true}\n    drop: true", "nothing is there to drop"),
        ("match: {missing: true}\n    map: {a: b}", "nothing is there to map"),
        ("match: {values: [a]}\n    map: {a: b}", "leave out `values`"),
        ("match: {any: true}\n    set: null", "write `drop: true`"),
        ("map: {}", "`map` is empty"),
        ("map: {a: b, a: c}", "one value twice"),
        ("map: [{from: 1}]", "`to` is missing"),
        ("map: {a: no}", "YAML reads it as bool"),
        ("map: {a: 010}", "YAML reads it as int"),
        ("map: {a: 2024-01-31}", "a time is {$date: ...}"),
        ("map: {a: {$oid: 12}}", "no valid Extended JSON"),
        ("map: {a: 9223372036854775808}", "no valid Extended JSON"),
        ("map: {a: !!binary aGVsbG8=}", "YAML reads it as binary"),
        ("match: {any: true}\n    set: &a x\n    reason: *a", "aliases are not taken"),
        ("match: [any]\n    drop: true", "must have keys"),
        ("match: {any: true}\n    drop: true\n    drop: true", "the key 'drop' is there twice"),
        ("match: {any: true}\n    drop: true\n    reason: 3", "reason must be a text"),
        ("match: {any: true", "no valid YAML"),
        ("match: &a {any: true}\n    accept: true", "anchors and aliases are not taken"),
        ("match: all\n    drop: true", "one of the words missing, any, orphaned"),
        ("match: any\n    set: x", "values that are fine, too"),
        ("match: any\n    drop: true", "values that are fine, too"),
        ("match: {type: [array, int]}\n    drop: true", "values that are fine, too"),
        ("elements: true\n    match: {type: string}\n    set: x", "values that are fine, too"),
        ("map: {a: b}\n    changes_fine_values: true", "would match values that are fine"),
        ("match: any\n    set: x\n    changes_fine_values: false", "can only be true"),
        ("map: {1: a, 1.0: b}", "one value twice"),
        ("map: {a: !!int '5'}", "YAML reads it as int"),
    ],
)
def test_mistake_in_a_rule(rule_body: str, expected: str) -> None:
    messages = mistakes(RULE.format(name="one", rest=rule_body))
    assert any(expected in message for message in messages.values()), messages


OF_A_COLLECTION = "\n- {name: one, collection: %s, %s}"


@pytest.mark.parametrize(
    ("collection", "rule_body", "expected"),
    [
        ("Users", "field: name, copy: _id", "another field of the document"),
        ("Users", "field: name, copy: ''", "another field of the document"),
        ("Users", "field: name, copy: 5", "copy must be a text"),
        ("Users", "field: name, copy: [a]", "copy must be a text"),
        ("Users", "field: name, copy: name", "another field than `field`"),
        ("Users", "copy: name", "`field` is missing"),
        ("Users", "field: name, copy: a, match: missing", "`match` takes `ids` alone"),
        ("Users", "field: name, copy: a, elements: true", "array of texts or ids"),
        ("Users", "field: is_admin, copy: name", "name is text, and is_admin is boolean"),
        (
            "crm_Contacts",
            "field: accountsIDs, move: assigned_to",
            "do not refer to the same collection",
        ),
        (
            "crm_Contacts",
            "field: cratedAt, copy: status",
            "status is boolean, and cratedAt is timestamp",
        ),
        ("Boards", "field: description, move: watchers", "watchers holds a relation"),
        ("crm_Contacts", "field: assigned_to, send_to: nowhere", "knows no field 'nowhere'"),
        ("crm_Contacts", "field: assigned_to, send_to: created_by", "refer to the same collection"),
        ("crm_Contacts", "field: assigned_to, send_to: last_name", "not both such"),
        ("Boards", "field: user, send_to: watchers", "not both such"),
        ("Users", "field: name, number: {thousands: ' '}", "a field of numbers; name is text"),
        ("crm_Opportunities", "field: budget, number: {}", "`number` is empty"),
        (
            "crm_Opportunities",
            "field: budget, number: true",
            "must have keys: thousands, decimal, empty",
        ),
        (
            "crm_Opportunities",
            "field: budget, number: {thousands: ',', decimal: ','}",
            "are the same",
        ),
        ("crm_Opportunities", "field: budget, number: {thousands: ', '}", "one character"),
        ("crm_Opportunities", "field: budget, number: {decimal: '0'}", "one character"),
        ("crm_Opportunities", "field: budget, number: {decimal: '-'}", "one character"),
        ("crm_Opportunities", "field: budget, number: {empty: zero}", "can only be `missing`"),
        ("crm_Opportunities", "field: budget, number: {comma: ','}", "there is no key 'comma'"),
        ("Users", "redirect: {}", "`redirect` is empty"),
        ("Users", "redirect: [{from: '7'}]", "`to` is missing"),
        ("Users", "redirect: {nobody: '7'}", "an id is 24 hex digits"),
        ("Users", "redirect: {'7': '7'}", "leads in a circle"),
        ("Users", "redirect: {'7': '8', '8': '7'}", "leads in a circle"),
        ("Users", "redirect: {'7': '8', '8': '9', '9': '8'}", "leads in a circle"),
        ("Users", "redirect: {'7': '8', '8': '9'}", "redirected itself"),
        ("Users", "redirect: [{from: ['7', '7'], to: '8'}]", "one value twice"),
        ("Users", "field: name, redirect: {'7': '8'}", "every field that refers"),
        ("Users", "redirect: {'7': '8'}, match: any", "leave out `match`"),
        ("Users", "field: name, match: any, defer: ''", "which later step"),
        ("Users", "field: name, match: any, defer: true", "defer must be a text"),
        ("Users", "field: name, defer: later", "`match` is missing"),
        ("Users", "match: orphaned, defer: later", "takes `any` or `ids` only"),
        ("Users", "field: name, match: orphaned, drop: true", "for fields of ids; name is text"),
        ("Boards", "field: sharedWith, match: orphaned, drop: true", "say `elements: true`"),
        ("Boards", "field: user, match: {of: nothing}, drop: true", "no collection 'nothing'"),
        ("Boards", "field: user, match: {of: Users}, drop: true", "refers to: no other"),
        (
            "crm_Leads",
            "field: assigned_to, match: {of: Tasks}, drop: true",
            "refers to: crm_Accounts",
        ),
        ("Boards", "field: user, match: {orphaned: false}, drop: true", "can only be true"),
        ("Users", "field: name, match: any, accept: true, ignore_case: true", "is for `map`"),
        ("Users", "field: name, ignore_case: true, map: {a: x, A: y}", "one value twice"),
        ("Users", "field: name, map: [{from: [], to: a}]", "the list is empty"),
        ("Users", "field: name, map: [{from: [a, a], to: b}]", "one value twice"),
        ("Users", "field: name, map: [{from: [null], to: b}]", "null is no value"),
        ("nothing", "redirect: {'7': '8'}", "no collection 'nothing'"),
    ],
)
def test_mistake_in_a_rule_of_a_further_kind(
    collection: str, rule_body: str, expected: str
) -> None:
    messages = mistakes(OF_A_COLLECTION % (collection, rule_body))
    assert any(expected in message for message in messages.values()), messages


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("redirect: {'7': '8'}", "redirect: {'7': '9'}", "redirects the same document"),
        ("redirect: {'7': '8'}", "redirect: {'8': '9'}", "to one that two redirects"),
        ("redirect: {'7': '8'}", "redirect: {'9': '7'}", "to one that two redirects"),
        ("field: name, copy: a", "field: name, move: a", "decides the same"),
        (
            "field: name, match: any, accept: true",
            "field: name, match: any, defer: x",
            "decides the same",
        ),
        (
            "field: name, map: {a: b}",
            "field: name, map: [{from: [c, a], to: d}]",
            "decides the same",
        ),
    ],
)
def test_rules_that_contradict_each_other(first: str, second: str, expected: str) -> None:
    again = (OF_A_COLLECTION % ("Users", second)).replace("name: one", "name: two", 1)
    messages = mistakes(OF_A_COLLECTION % ("Users", first) + again)
    assert any(expected in message for message in messages.values()), messages


AMBIGUOUS = [
    "500.000", "1_000", "0o17", "010", "0x1F", "0b11", "1e3", "1.0e+3", "+5", "-0", ".5", "5.", "1.50", "-.5",
    "007", "1:30", "190:20:30", "1:30.5", ".inf", "-.INF", ".nan", "yes", "No", "ON", "off", "True",
    "~", "Null",
    "2023-01-01", "2023-01-01 10:00:00", "507100000000000000000000",
]  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [
        "map: {%s: a}",
        "map: {a: %s}",
        "map: [{from: %s, to: a}]",
        "match: {values: [%s]}\n    drop: true",
        "match: {ids: [%s]}\n    drop: true",
        "match: {missing: true}\n    set: %s",
        "match: {missing: true}\n    set: {b: [%s]}",
        "match: {missing: true}\n    set: {%s: b}",
    ],
)
def test_what_yaml_could_read_as_something_else_is_quoted_in_every_place(place: str) -> None:
    for word in AMBIGUOUS:
        messages = mistakes(RULE.format(name="a", rest=place % word))
        assert re.search("quote|null|Extended|key", " ".join(messages.values())), word


def test_a_number_in_its_own_form_and_a_text_in_quotes_are_taken() -> None:
    fine = "map: {500: 1, -5: 1, 1.5: 1, 0.25: 1, '500.000': 5, 1.000.000: 1, 64e90000000000000000d007: 1}"
    (rule,) = parse_remediations(
        NEXTCRM, "version: 1\nrules:" + RULE.format(name="a", rest=fine)
    ).rules
    values = [old.value for old, _ in rule.replacements]
    assert values == [500, -5, 1.5, 0.25, "500.000", "1.000.000", "64e90000000000000000d007"]
    ids = "match: {ids: [64e900000000000000000907, '7']}\n    set: [x]"
    (rule,) = parse_remediations(
        NEXTCRM, "version: 1\nrules:" + RULE.format(name="a", rest=ids)
    ).rules
    assert rule.match.ids == ("64e900000000000000000907", '{"$numberInt":"7"}')
    meant = "match: any\n    set: [x]\n    changes_fine_values: true"
    (rule,) = parse_remediations(
        NEXTCRM, "version: 1\nrules:" + RULE.format(name="a", rest=meant)
    ).rules
    assert rule.match.is_any


def test_an_array_alone_has_elements_and_an_acceptance_alone_goes_without_a_field() -> None:
    rule = "\n  - {name: a, collection: Users, field: name, elements: true, match: {any: true}, drop: true}"
    assert "array of texts or ids" in mistakes(rule)[3]
    rule = "\n  - {name: a, collection: Users, match: {any: true}, drop: true}"
    assert mistakes(rule)[3] == "`field` is missing"
    rule = "\n  - {name: a, collection: Users, match: {type: int}, accept: true}"
    assert "without `field`" in mistakes(rule)[3]


def test_a_rule_that_an_earlier_one_leaves_nothing_is_a_mistake() -> None:
    first = RULE.format(name="first", rest="map: {a: b}")
    again = RULE.format(name="again", rest="match: {values: [a]}\n    drop: true")
    assert "rule first decides the same before again" in mistakes(first + again).values()
    accepting = RULE.format(name="again", rest="match: {values: [a]}\n    accept: true")
    assert len(parse_remediations(NEXTCRM, f"version: 1\nrules:{first}{accepting}").rules) == 2


@pytest.mark.parametrize(
    "action", ["number: {decimal: ','}", "copy: other", "redirect: {'7': '8'}"]
)
def test_a_rule_for_all_references_needs_its_match_whatever_it_does(action: str) -> None:
    messages = mistakes(f"\n- name: one\n  references_to: Users\n  {action}")
    assert "`match: orphaned`" in messages[3]
    assert "there is no key" in messages[5]


@pytest.mark.parametrize(
    "top", ["", "version: 2\nrules:", "rules:", "version: 1", "[]", "version: 1\nrules: {}\n#"]
)
def test_another_form_is_a_mistake(top: str) -> None:
    assert mistakes("", top=top)


def test_no_value_of_the_file_is_in_a_message() -> None:
    rule_body = 'match: {values: [{$oid: "geheim"}], ids: [geheim]}\n    set: {$date: geheim}'
    assert not any(
        "geheim" in message for message in mistakes(RULE.format(name="a", rest=rule_body)).values()
    )


def test_a_file_that_cannot_be_read_is_an_error_and_none_is_no_rules(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIGRATION_REMEDIATIONS", raising=False)
    assert load_remediations(NEXTCRM) is NO_REMEDIATIONS
    assert all(NO_REMEDIATIONS.digest(table) == "" for table in TABLES.values())
    monkeypatch.setenv("MIGRATION_REMEDIATIONS", str(tmp_path / "missing.yaml"))
    with pytest.raises(RemediationError, match="cannot be read"):
        load_remediations(NEXTCRM)


def test_a_rule_concerns_the_table_that_its_field_becomes() -> None:
    text = (
        "version: 1\nrules:\n"
        "- {name: a, collection: Documents, field: status, map: {x: y}}\n"
        "- {name: b, collection: Documents, field: tasksIDs, match: missing, set: [x]}\n"
        "- {name: c, collection: Tasks, match: {any: true}, accept: true}\n"
    )
    rules = parse_remediations(NEXTCRM, text)
    concerned = {
        name: [rule.name for rule in rules.of(table)]
        for name, table in TABLES.items()
        if rules.of(table)
    }
    assert concerned == {"Documents": ["a"], "Tasks": ["c"], "DocumentsToTasks": ["b", "c"]}
    # A reason, a comment or a rule for another table changes nothing here.
    other = parse_remediations(NEXTCRM, text.replace("map: {x: y}", "map: {x: z}, reason: r"))
    tasks, documents = JUNCTIONS["DocumentsToTasks"], ENTITIES["Documents"]
    assert other.digest(tasks) == rules.digest(tasks) != ""
    assert other.digest(documents) != rules.digest(documents)


def test_the_file_that_comes_with_the_sample_is_valid() -> None:
    rules = load_remediations(NEXTCRM, str(sample_remediations())).rules
    assert {rule.action for rule in rules} == {Action.MAP, Action.SET, Action.DROP, Action.ACCEPT}
    assert {rule.collection for rule in rules if rule.action is Action.ACCEPT} == set(ENTITIES)


# Loader and judge

VALUES: list[Any] = [
    None, "", "a", "A", "a\x00", 0, 1, Int64(1), 1.0, -0.0, 1.5, float("nan"), float("inf"), True, False,
    Decimal128("1"), Decimal128("NaN"), OWN, ObjectId("f" * 24), str(OWN),
    datetime(2024, 1, 31),
    {"a": 1}, {"a": 1.0}, {}, b"x", Binary(b"x", 5), Regex("a", "i"), Timestamp(1, 2),
    bson.Code("x"), bson.Code("x", {"a": 1}), bson.MinKey(), bson.MaxKey(), [], ["a"],
]  # fmt: skip
scalars = st.sampled_from(VALUES)
values = st.one_of(scalars, st.lists(scalars, max_size=4))
literals = st.sampled_from([value for value in VALUES if value is not None]).map(Literal.of)


TEXTS = st.sampled_from(
    ["", " ", "1.000", "-1.000.000", "1,00", "1.000,00", "0.5", "007", " 12 ", "1.00", "a", "A"]
)
FORMATS = st.sampled_from(
    [NumberFormat(".", ",", empty_is_missing=True), NumberFormat("", "."), NumberFormat(" ")]
)
OTHER = ObjectId("f" * 24)
KNOWN_USER, KNOWN_ACCOUNT = ObjectId("a" * 24), ObjectId("b" * 24)
IDS: list[Any] = [OWN, OTHER, KNOWN_USER, KNOWN_ACCOUNT, str(OWN), str(KNOWN_USER), "", "x", 7, 7.0]
ids = st.one_of(st.sampled_from(IDS), st.lists(st.sampled_from([*IDS, None]), max_size=3))
ROWS = {
    name: frozenset(document_uuid(name, identifier).bytes for identifier in known)
    for name, known in (("Users", (KNOWN_USER, "x", 7)), ("crm_Accounts", (KNOWN_ACCOUNT,)))
}
NAMES = st.sampled_from(["one", "two", 'th"ree'])
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "tags": values,
        "notes": st.one_of(values, TEXTS),
        "old": st.one_of(values, ids),
        "assigned_to": ids,
        "accountsIDs": ids,
    },
)


@st.composite
def rules(draw: st.DrawFn) -> Remediation:
    """Returns a rule that changes one field, or accepts or defers what it loses."""
    chosen = [Action.MAP, Action.SET, Action.DROP, Action.ACCEPT, Action.DEFER, Action.NUMBER]
    action = draw(st.sampled_from(chosen))
    field = draw(st.sampled_from(["tags", "notes", "assigned_to"]))
    value_lists = st.lists(literals, min_size=1, max_size=4).map(tuple)
    types = st.lists(
        st.sampled_from([type_name for type_name in TYPES if type_name != NUMBER]), min_size=1
    )
    about_ids = (
        [Match(is_orphaned=True), Match(of="crm_Accounts")] if field == "assigned_to" else []
    )
    matching = st.one_of(
        st.builds(Match, values=value_lists),
        st.builds(Match, types=types.map(tuple)),
        st.sampled_from([Match(is_missing=True), Match(is_any=True), *about_ids]),
        st.just(Match(ids=(str(OWN),))),
        st.just(Match(is_any=True, ids=("5" * 24,))),
    )
    pairs = st.lists(
        st.tuples(literals, literals), min_size=1, max_size=4, unique_by=lambda pair: pair[0].bson
    )
    is_map, is_number = action is Action.MAP, action is Action.NUMBER
    return Remediation(
        name=draw(NAMES),
        collection="crm_Contacts",
        field=field,
        match=Match() if is_map or is_number else draw(matching),
        action=action,
        elements=not is_number and field != "assigned_to" and draw(st.booleans()),
        replacements=tuple(draw(pairs)) if is_map else (),
        value=draw(literals) if action is Action.SET else None,
        number=draw(FORMATS) if is_number else None,
        ignores_case=is_map and draw(st.booleans()),
        until="later" if action is Action.DEFER else "",
    )


@st.composite
def moves(draw: st.DrawFn) -> Remediation:
    """Returns a rule that takes a value elsewhere."""
    action = draw(st.sampled_from([Action.COPY, Action.MOVE, Action.SEND_TO, Action.REDIRECT]))
    match = draw(st.sampled_from([Match(), Match(ids=(str(OWN),)), Match(ids=("5" * 24,))]))
    name = draw(NAMES)
    if action is Action.REDIRECT:
        ends = st.sampled_from([OWN, OTHER, "x", 7]).map(Literal.of)
        pair = draw(st.tuples(ends, st.just(Literal.of(KNOWN_USER))))
        return Remediation(name, "Users", None, Match(), action, replacements=(pair,))
    if action is Action.SEND_TO:
        return Remediation(name, "crm_Contacts", "assigned_to", match, action, other="accountsIDs")
    field = draw(st.sampled_from(["tags", "assigned_to", "accountsIDs"]))
    return Remediation(name, "crm_Contacts", field, match, action, other="old")


@given(document=DOCUMENTS, given_rules=st.lists(st.one_of(rules(), moves()), max_size=5))
def test_the_judge_applies_rules_as_the_loader_does(
    document: dict[str, Any], given_rules: list[Remediation]
) -> None:
    raw = bson.encode({"_id": OWN, **document}, codec_options=CODEC)
    decoded = bson.decode(raw, CODEC)
    remedied_document, remedies = Remedies(
        given_rules, ENTITIES["crm_Contacts"], Loaded(ROWS, {})
    ).apply(decoded)
    judge = JudgedRules(given_rules, ENTITIES["crm_Contacts"], Ids(ROWS, {}))
    expected, changes = judge.remedied(bson_reader.read_document(raw), str(OWN))
    assert judge.touch(raw, str(OWN)) or not changes
    if not judge.ask_for_ids:
        assert judge.touch(raw, str(OWN)) is bool(changes)
    as_judged = from_canonical(canonical(expected))
    assert {name: canonical(value) for name, value in as_judged.items()} == {
        name: canonical(value)
        for name, value in from_canonical(canonical(remedied_document)).items()
    }
    books = [(remedy.field, remedy.element, entry_of(remedy)) for remedy in remedies]
    assert sorted(books, key=str) == sorted(
        ((change.field, change.element, change.text()) for change in changes), key=str
    )


def entry_of(remedy: Remedied) -> str:
    return entry_text(remedy.rule, remedy.original, remedy.replacement)


@given(value=values, element=scalars, given_rules=st.lists(rules(), max_size=5))
def test_the_judge_accepts_what_the_loader_does(
    value: Any, element: Any, given_rules: list[Remediation]
) -> None:
    def read(literal: Any) -> Any:
        return bson_reader.read_document(bson.encode({"v": literal}, codec_options=CODEC))["v"]

    decoded_value, decoded_element = (
        bson.decode(Literal.of(literal).bson, CODEC)["v"] for literal in (value, element)
    )
    loader = Remedies(given_rules, ENTITIES["crm_Contacts"], Loaded(ROWS, {}))
    judge = JudgedRules(given_rules, ENTITIES["crm_Contacts"], Ids(ROWS, {}))
    name = source_id(OWN)
    assert loader.accepts(OWN, "tags", decoded_value) == judge.accepted_by(
        name, "tags", read(value)
    )
    assert loader.accepts(OWN, "tags", decoded_value, element=decoded_element) == judge.accepted_by(
        name, "tags", read(value), read(element)
    )
    assert loader.accepts(OWN, "tags", None) == judge.accepted_by(name, "tags", None)
    accepted = loader.accepts_document(OWN, [("tags", decoded_value), ("notes", None)])
    lost = accepted and " until ".join(filter(None, accepted))
    assert lost == judge.document_accepted_by(name, [("tags", read(value)), ("notes", None)])


def test_a_rule_of_several_fields_accepts_a_document_by_its_name_once() -> None:
    """As a rule does that accepts all references to a collection."""
    both = [
        Remediation("gone", "crm_Contacts", field, Match(is_any=True), Action.ACCEPT)
        for field in ("tags", "notes")
    ]
    loader = Remedies(both, ENTITIES["crm_Contacts"], Loaded(ROWS, {}))
    judge = JudgedRules(both, ENTITIES["crm_Contacts"], Ids(ROWS, {}))
    assert loader.accepts_document(OWN, [("tags", 1), ("notes", 2)]) == ("gone", None)
    assert judge.document_accepted_by(source_id(OWN), [("tags", 1), ("notes", 2)]) == "gone"


def test_the_examples_of_the_documentation_are_valid() -> None:
    text = (DOCS / "remediations.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(version: 1\n.*?)```", text, re.DOTALL)
    rules = [rule for example in examples for rule in parse_remediations(NEXTCRM, example).rules]
    assert {rule.action for rule in rules} == set(Action)
