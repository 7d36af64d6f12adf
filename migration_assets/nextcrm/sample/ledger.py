"""The ledger of a sample's faults, with which the books of the migration are compared."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


class SampleFault(enum.StrEnum):
    """What is wrong with a value, a document or a collection."""

    INTEGER = "int32"
    LONG = "int64"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DECIMAL = "Decimal128"
    OBJECT_ID = "ObjectId"
    DATE = "date"
    DOCUMENT = "document"
    ARRAY = "array"
    NAN = "NaN"
    INFINITY = "infinity"
    BINARY = "binary"
    REGEX = "regular expression"
    NUL_CHARACTER = "U+0000"
    EMPTY_TEXT = "empty text"
    WORD = "text of another kind"
    PADDED = "text with blanks around"
    OTHER_CASE = "text in other case"
    INTEGRAL_DOUBLE = "double of integral value"
    INTEGRAL_DECIMAL = "Decimal128 of integral value"
    DIGITS = "digits as text"
    NEGATIVE_DIGITS = "minus and digits as text"
    FRACTION = "fraction"
    DECIMAL_FRACTION = "fraction as Decimal128"
    FRACTION_TEXT = "fraction as text"
    OUT_OF_RANGE = "out of range"
    DIGITS_OUT_OF_RANGE = "digits as text, out of range"
    BINARY_DIGIT = "0 or 1"
    BOOLEAN_TEXT = "true or false as text"
    ISO_UTC = "time as text, UTC"
    ISO_OFFSET = "time as text, with an offset"
    ISO_NO_OFFSET = "time as text, without an offset"
    EPOCH_LONG = "milliseconds since 1970 as int64"
    EPOCH_INTEGER = "milliseconds since 1970 as int32"
    EPOCH_DECIMAL = "milliseconds since 1970 as Decimal128"
    EPOCH_DOUBLE = "milliseconds since 1970 as double"
    IMPOSSIBLE_TIME = "time as text that no calendar has"
    BEFORE_RANGE = "date before PostgreSQL's range"
    AFTER_RANGE = "date after PostgreSQL's range"
    EPOCH_OUT_OF_RANGE = "milliseconds since 1970 outside PostgreSQL's range"
    NULL = "null in a required field"
    MISSING = "missing required field"
    MISSING_WITHOUT_ID_TIME = "missing time, and the _id is no ObjectId"
    DUPLICATE = "duplicate of a unique value"
    HEX = "id as hex"
    UPPER_CASE_HEX = "id as hex in upper case"
    DANGLING = "id of no document"
    DANGLING_HEX = "id of no document, as hex"
    TO_REJECTED = "id of a rejected document"
    TO_ODD_ID = "id that is no ObjectId"
    LONE_VALUE = "lone value for an array"
    NULL_ELEMENT = "null element"
    INTEGER_ELEMENT = "int32 element"
    DOCUMENT_ELEMENT = "document element"
    NUL_ELEMENT = "element with U+0000"
    WORD_ELEMENT = "element of another kind"
    HEX_ELEMENT = "element as hex"
    DANGLING_ELEMENT = "element that is the id of no document"
    ELEMENT_TO_REJECTED = "element that is the id of a rejected document"
    ELEMENT_TO_ODD_ID = "element that is an id but no ObjectId"
    REPEATED_ELEMENT = "element twice"
    ONE_SIDED = "pair that the other side does not know"
    ID_STRING = "_id is a string"
    ID_INTEGER = "_id is an int32"
    ID_UUID = "_id is a UUID"
    ID_DOCUMENT = "_id is a document"
    ID_HEX = "_id is the hex of an ObjectId"
    UNKNOWN_FIELD = "field that the model does not know"
    UNKNOWN_COLLECTION = "collection that the model does not know"


class OldShape(enum.StrEnum):
    """The shape of data that an older version wrote, or that its deletes left behind."""

    CRM_COMMENT = "comment on a CRM task"
    NUMBER_AS_TEXT = "number as text of free input"
    STATUS_AS_TEXT = "status as text"
    TEXT_FOR_ID = "text in a field of ids"
    OLD_NAMES = "fields under their old names"
    MISSPELT_COLLECTION = "id of a document in the misspelt collection"
    FREE_CURRENCY = "currency as free text"
    LONE_LINK = "link to the account in the old field"
    LIST_OF_ONE = "list of one id where one id is expected"
    BIRTHDAY = "birthday in an old form"
    NO_NAME = "required name missing"
    CRM_WEEK = "CRM task among the project tasks"
    OBJECT_FOR_LIST = "object where a list is expected"
    DOUBLED_USER = "two users of one address"
    NO_ADDRESS = "user without an address"
    EMPTY_ADDRESS = "address that is empty or blank"
    CAPITAL_ADDRESS = "address with capital letters"
    CASE_ONLY = "addresses that differ in case only"
    DROPPED_FIELDS = "fields that left the schema"
    DELETED_USER = "id of a deleted user"
    DELETED_CONTACT = "id of a deleted contact"
    DELETED_DOCUMENT = "id of a deleted document"
    DELETED_BOARD = "id of a deleted board"
    TO_REJECTED = "id of a document that is rejected"
    IMPORTED = "imported by hand from CSV"
    NUMBER_AS_DOUBLE = "int as double"
    TIME_AS_TEXT = "time as text"
    YEAR_24 = "year with two digits"
    INVOICE_LABEL = "label that today's application does not know"
    OTHER_LABEL = "value that today's application does not know"
    TWO_CREATORS = "two creators that differ"
    OLD_COLLECTION = "collection of an older version"


class Expectation(enum.StrEnum):
    """What the migration has to make of a fault, sections 2 and 5 of the design."""

    ACCEPTED = "accepted"
    """Unusual, but loaded as it is: nothing stands in the books."""
    COERCED = "coerced"
    DEFAULTED = "defaulted"
    DERIVED = "derived"
    ALTERED = "altered"
    NULLED = "nulled"
    ORPHANED = "orphaned"
    REJECTED = "rejected"
    UNMAPPED = "unmapped"
    ASYMMETRIC = "asymmetric"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One fault.

    Attributes:
        collection: Where it was put.
        source_id: The document's `_id` as the books write it; empty for a whole collection.
        field: The field; empty for a whole collection.
        fault: What is wrong.
        expectation: What the migration has to make of it, without rules.
    """

    collection: str
    source_id: str
    field: str
    fault: SampleFault | OldShape
    expectation: Expectation


@dataclass(frozen=True, slots=True)
class Ledger:
    """The contents of a sample.

    Attributes:
        documents: Number of documents by collection, faulty and unknown ones included.
        entries: Every fault, in order.
    """

    documents: Mapping[str, int]
    entries: tuple[Entry, ...] = ()

    def kinds(self) -> Counter[tuple[str, str]]:
        """Returns how many documents each kind was put into, by collection and kind."""
        faulty = {(entry.collection, entry.fault.value, entry.source_id) for entry in self.entries}
        return Counter((collection, kind) for collection, kind, _ in faulty)

    def expected(self, *expectations: Expectation) -> Counter[tuple[str, str]]:
        """Returns how many faults of these expectations there are, by collection and field."""
        return Counter(
            (entry.collection, entry.field)
            for entry in self.entries
            if entry.expectation in expectations
        )
