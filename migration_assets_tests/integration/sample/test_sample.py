"""The sample: reproducible, complete, legal where it is clean, and its ledger true where it is not."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson
import pytest
from bson import CodecOptions, DatetimeConversion, ObjectId
from pymongo.database import Database

from migration_assets.identity import source_id
from migration_assets.model import Rule, Source, fields, junction_of, sources
from migration_assets.nextcrm import ENTITIES, JUNCTIONS
from migration_assets.nextcrm.sample import Expectation, Ledger, SampleFault, generate
from migration_assets.nextcrm.sample.documents import SampleCollection
from migration_assets.nextcrm.sample.extras import UNKNOWN_COLLECTION, extras
from migration_assets.nextcrm.sample.faults import FAULTS
from migration_assets.nextcrm.sample.places import places
from migration_assets.nextcrm.sample.population import EXTREME_IDS, Population
from migration_assets.nextcrm.sample.relations import Relations
from migration_assets.nextcrm.sample.values import AWKWARD, RARE, SECRET_PREFIX, is_optional

TINY = 0.01

TYPES = {
    Rule.KEY: {"objectId"},
    Rule.TEXT: {"string"},
    Rule.INTEGER: {"int"},
    Rule.BIGINT: {"int", "long"},
    Rule.BOOLEAN: {"bool"},
    Rule.TIMESTAMP: {"date"},
    Rule.ENUM: {"string"},
    Rule.REFERENCE: {"objectId"},
    Rule.REFERENCE_TEXT: {"string"},
}
ELEMENT_TYPES = {
    Rule.TEXT_ARRAY: {"string"},
    Rule.REFERENCE_ARRAY: {"objectId"},
    Rule.REFERENCE_TEXT_ARRAY: {"string"},
}
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def documents(database: Database[Any], name: str) -> list[dict[str, Any]]:
    return list(database.get_collection(name, codec_options=CODEC).find())


def columns() -> Iterator[tuple[str, Source]]:
    for name, table in ENTITIES.items():
        for source in sources(table).values():
            yield name, source


def arrays() -> Iterator[tuple[str, str, str, str]]:
    """Yields (junction table, collection, array, collection of the other side)."""
    for name, table in JUNCTIONS.items():
        relation = junction_of(table)
        assert relation is not None
        for holder, field, other in relation.arrays():
            yield name, holder.collection, field, other.collection


def types_by_field(
    database: Database[Any], collection: str
) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Returns, as the server sees them, the types of each field and of the elements of each array."""
    names = sorted(fields(ENTITIES[collection]))
    group: dict[str, Any] = {"_id": None}
    for position, name in enumerate(names):
        elements = {"$map": {"input": f"${name}", "in": {"$type": "$$this"}}}
        group[f"t{position}"] = {"$addToSet": {"$type": f"${name}"}}
        group[f"e{position}"] = {
            "$addToSet": {"$cond": [{"$isArray": f"${name}"}, elements, []]},
        }
    (types,) = database[collection].aggregate([{"$group": group}])
    return (
        {name: set(types[f"t{position}"]) for position, name in enumerate(names)},
        {name: set().union(*types[f"e{position}"]) for position, name in enumerate(names)},
    )


def nothing(source: Source) -> set[str]:
    return {"null", "missing"} if is_optional(source) else set()


def hashes(database: Database[Any]) -> Mapping[str, str]:
    collection_hashes: Mapping[str, str] = database.command("dbHash")["collections"]
    return collection_hashes


@contextmanager
def another(database: Database[Any]) -> Iterator[Database[Any]]:
    name = f"{database.name}_other"
    try:
        yield database.client[name]
    finally:
        database.client.drop_database(name)


@pytest.fixture
def clean(mongo_database: Database[Any]) -> Database[Any]:
    generate(mongo_database, scale=TINY)
    return mongo_database


def test_same_seed_and_scale_give_the_same_bytes(clean: Database[Any]) -> None:
    with another(clean) as other:
        ledger = generate(other, scale=TINY)
        assert hashes(other) == hashes(clean)
    assert ledger.entries == ()
    assert set(ledger.documents) == set(hashes(clean)) == set(ENTITIES)


def test_another_seed_gives_other_documents(clean: Database[Any]) -> None:
    with another(clean) as other:
        generate(other, scale=TINY, seed=2)
        same = hashes(other).items() & hashes(clean).items()
    assert not same


def test_a_collection_does_not_depend_on_what_was_made_before_it_or_on_the_process() -> None:
    program = (
        "import bson, hashlib\n"
        "from migration_assets.nextcrm.sample.documents import SampleCollection\n"
        "from migration_assets.nextcrm.sample.population import Population\n"
        "made = SampleCollection('Documents', Population(scale=0.02, seed=5)).documents()\n"
        "print(hashlib.sha256(b''.join(map(bson.encode, made))).hexdigest())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
    population = Population(scale=0.02, seed=5)
    list(SampleCollection("Users", population).documents())
    late = list(map(bson.encode, SampleCollection("Documents", population).documents()))
    early = list(map(bson.encode, SampleCollection("Documents", population).documents()))
    assert late == early


def test_scale_one_is_a_crm_of_27_000_documents_and_21_000_pairs() -> None:
    population = Population(scale=1, seed=1)
    assert sum(len(population.ids(name)) for name in ENTITIES) == pytest.approx(27_000, rel=0.02)
    pairs: Counter[str] = Counter()
    held_by = {name: (collection, field) for name, collection, field, _ in arrays()}
    for name, (collection, field) in held_by.items():
        relations = Relations(population, collection)
        for number in range(len(population.ids(collection))):
            document: dict[str, Any] = {}
            relations.fill(document, number)
            pairs[name] += len(document.get(field) or ())
    assert len(pairs) == 10
    assert sum(pairs.values()) == pytest.approx(21_000, rel=0.05)
    assert min(pairs.values()) > 100


def test_settings_stay_small_and_the_rest_grows() -> None:
    sizes = {scale: Population(scale=scale, seed=1) for scale in (1, 100)}
    grown = {name for name in ENTITIES if len(sizes[100].ids(name)) > len(sizes[1].ids(name))}
    assert len(sizes[100].ids("Tasks")) == 500_000
    assert {"Users", "Documents", "Invoices"} < grown
    assert not grown & {"gpt_models", "systemServices", "modulStatus", "crm_Industry_Type"}


def test_ids_are_unique_and_increase_in_time() -> None:
    population = Population(scale=1, seed=1)
    seconds = set()
    for name in ENTITIES:
        ids = [population.ids(name)[number] for number in range(len(population.ids(name)))]
        times = [identifier.generation_time for identifier in ids]
        assert len(set(ids)) == len(ids)
        assert times[len(EXTREME_IDS.get(name, ())) :] == sorted(
            times[len(EXTREME_IDS.get(name, ())) :]
        )
        seconds.add(len(set(times)) < len(times))
    assert True in seconds, "some documents are created in the same second"
    assert population.ids("ImageUpload")[4] == ObjectId("f" * 24)


def test_every_type_is_the_contracts_and_every_optional_field_is_null_and_missing_too(
    clean: Database[Any],
) -> None:
    relations = {(holder, field) for _, holder, field, _ in arrays()}
    for collection in ENTITIES:
        types, elements = types_by_field(clean, collection)
        for source in sources(ENTITIES[collection]).values():
            value_types = types[source.field] - {"null", "missing"}
            where = f"{collection}.{source.field}"
            assert types[source.field] - value_types == nothing(source), where
            if source.rule is Rule.JSON:
                assert "array" in value_types, where
            elif source.rule in ELEMENT_TYPES:
                assert value_types == {"array"}, where
                assert elements[source.field] == ELEMENT_TYPES[source.rule], where
            else:
                assert value_types, where
                assert value_types <= TYPES[source.rule], where
        for field in (field for holder, field in relations if holder == collection):
            assert types[field] == {"array", "null", "missing"}
            assert elements[field] == {"objectId"}


def test_every_label_of_every_enum_occurs_in_every_field(clean: Database[Any]) -> None:
    for collection, source in columns():
        if source.rule is Rule.ENUM:
            stored_labels = set(clean[collection].distinct(source.field)) - {None}
            assert stored_labels == set(source.labels), f"{collection}.{source.field}"


def test_every_awkward_value_occurs_even_in_the_smallest_sample(clean: Database[Any]) -> None:
    values_by_rule: dict[Rule, set[bytes]] = {rule: set() for rule in AWKWARD}
    for collection, table in ENTITIES.items():
        for document in documents(clean, collection):
            for source in sources(table).values():
                if source.rule in values_by_rule and source.field in document:
                    values_by_rule[source.rule].add(bson.encode({"value": document[source.field]}))
    for values in (AWKWARD, RARE):
        for rule, awkward in values.items():
            missed = [
                value
                for value in awkward
                if bson.encode({"value": value}) not in values_by_rule[rule]
            ]
            assert not missed, rule


def test_both_sides_of_a_relation_hold_the_same_pairs(mongo_database: Database[Any]) -> None:
    generate(mongo_database, scale=0.05)
    one_sided = []
    for name, table in JUNCTIONS.items():
        relation = junction_of(table)
        assert relation is not None
        sides: list[set[tuple[object, object]]] = []
        for holder, field, other in relation.arrays():
            held = [
                (document["_id"], element)
                for document in documents(mongo_database, holder.collection)
                for element in document.get(field) or ()
            ]
            assert len(set(held)) == len(held), "no pair twice"
            assert {element for _, element in held} <= set(
                mongo_database[other.collection].distinct("_id")
            )
            sides.append({pair if holder is relation.left else pair[::-1] for pair in held})
        assert all(side == sides[0] for side in sides)
        assert len(sides[0]) >= 12, name
        one_sided += [name] if len(sides) == 1 else []
    assert one_sided == ["DocumentsToCrmAccountsTasks"]


def test_every_reference_points_to_a_document(clean: Database[Any]) -> None:
    ids = {name: set(clean[name].distinct("_id")) for name in ENTITIES}
    for collection, source in columns():
        if source.references is None:
            continue
        values = clean[collection].distinct(source.field)
        held = {ObjectId(value) for value in values if value not in (None, "")}
        assert held, f"{collection}.{source.field}"
        assert held <= ids[source.references], f"{collection}.{source.field}"


def test_every_secret_can_be_recognized(clean: Database[Any]) -> None:
    for collection, source in columns():
        if source.secret:
            values = set(clean[collection].distinct(source.field)) - {None}
            assert all(value.startswith(SECRET_PREFIX) for value in values)
            assert len(values) > 5


def test_progress_is_told_after_each_batch(mongo_database: Database[Any]) -> None:
    progress_calls: list[tuple[str, int]] = []
    ledger = generate(
        mongo_database,
        scale=0.25,
        progress=lambda name, written: progress_calls.append((name, written)),
    )
    assert dict(progress_calls) == ledger.documents
    assert [written for name, written in progress_calls if name == "Tasks"] == [1000, 1250]
    assert mongo_database["Tasks"].estimated_document_count() == 1250


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": -1}, {"dirty": -0.1}, {"dirty": 1.1}])
def test_a_number_out_of_range_is_an_error(
    mongo_database: Database[Any], wrong: Mapping[str, float]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        generate(mongo_database, **wrong)  # type: ignore[arg-type]
    assert mongo_database.list_collection_names() == []


def test_nothing_is_written_beside_other_documents(mongo_database: Database[Any]) -> None:
    mongo_database["Tasks"].insert_one({"_id": 1})
    with pytest.raises(ValueError, match="not empty"):
        generate(mongo_database, scale=TINY)
    assert mongo_database.list_collection_names() == ["Tasks"]


class TestDirty:
    """A sample with faults."""

    @pytest.fixture
    def ledger(self, mongo_database: Database[Any]) -> Ledger:
        return generate(mongo_database, scale=TINY, dirty=0.01)

    def test_the_clean_documents_stay_as_they_are(
        self, mongo_database: Database[Any], ledger: Ledger
    ) -> None:
        for collection in ENTITIES:
            stored = set(map(bson.encode, documents(mongo_database, collection)))
            population = Population(scale=TINY, seed=1)
            clean_documents = set(
                map(bson.encode, SampleCollection(collection, population).documents())
            )
            assert clean_documents <= stored
            assert len(stored) == ledger.documents[collection]

    def test_the_ledger_covers_every_fault_at_every_sort_of_place(self, ledger: Ledger) -> None:
        assert {entry.fault for entry in ledger.entries} == set(SampleFault)
        assert {entry.expectation for entry in ledger.entries} == set(Expectation)
        expected = {
            (row.fault, place.sort)
            for name in ENTITIES
            for place in places(name)
            for row in FAULTS
            if row.applies(place)
        }
        sorts = {(name, place.field): place.sort for name in ENTITIES for place in places(name)}
        covered = {
            (entry.fault, sorts.get((entry.collection, entry.field))) for entry in ledger.entries
        }
        assert expected <= covered

    def test_a_document_has_one_fault_and_is_stored(
        self, mongo_database: Database[Any], ledger: Ledger
    ) -> None:
        known = [entry for entry in ledger.entries if entry.collection != UNKNOWN_COLLECTION]
        faulty = Counter((entry.collection, entry.source_id) for entry in known)
        assert set(faulty.values()) == {1}
        stored = {
            (name, source_id(identifier))
            for name in ENTITIES
            for identifier in mongo_database[name].distinct("_id")
        }
        assert set(faulty) <= stored
        assert ledger.documents[UNKNOWN_COLLECTION] == 3
        assert ledger.entries == tuple(sorted(ledger.entries))

    def test_what_does_not_fit_the_contract_stands_in_the_ledger(
        self, mongo_database: Database[Any], ledger: Ledger
    ) -> None:
        recorded = {(entry.collection, entry.source_id, entry.field) for entry in ledger.entries}
        recorded |= {
            (entry.collection, entry.source_id, "_id")
            for entry in ledger.entries
            if entry.fault is SampleFault.MISSING_WITHOUT_ID_TIME
        }
        misfits = set()
        for collection, table in ENTITIES.items():
            scalar = [source for source in sources(table).values() if source.rule in TYPES]
            types = {str(place): {"$type": f"${item.field}"} for place, item in enumerate(scalar)}
            for document in mongo_database[collection].aggregate([{"$project": types}]):
                misfits |= {
                    (collection, source_id(document["_id"]), source.field)
                    for place, source in enumerate(scalar)
                    if document[str(place)] not in TYPES[source.rule] | nothing(source)
                }
        assert misfits < recorded
        assert len(misfits) > len(recorded) / 2

    def test_there_are_as_many_faults_as_the_rate_says_and_one_of_each(self) -> None:
        population = Population(scale=1, seed=1)
        count = {
            rate: sum(
                len(extra.entries) for group in extras(population, rate).values() for extra in group
            )
            for rate in (1e-9, 0.02)
        }
        assert count[0.02] - count[1e-9] == pytest.approx(0.02 * 27_150, rel=0.15)

    def test_rejected_documents_are_referred_to_only_where_the_ledger_says_so(
        self,
    ) -> None:
        added = extras(Population(scale=TINY, seed=1), 0.01)
        rejected = {
            extra.identifier
            for group in added.values()
            for extra in group
            for entry in extra.entries
            if entry.expectation is Expectation.REJECTED and isinstance(extra.identifier, ObjectId)
        }
        referring = {
            entry.fault
            for group in added.values()
            for extra in group
            for value in extra.fields.values()
            for item in (value if isinstance(value, list) else [value])
            if isinstance(item, ObjectId) and item in rejected
            for entry in extra.entries
        }
        assert referring == {SampleFault.TO_REJECTED, SampleFault.ELEMENT_TO_REJECTED}
