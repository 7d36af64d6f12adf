"""Jobs: an error names the document that failed, and quotes no value."""

from __future__ import annotations

import pickle

import bson
import pytest
from bson import ObjectId

from migration_assets.conversion.batches import Books, ConvertedBatch
from migration_assets.errors import LoadError, SourceError
from migration_assets.loading.identities import identities
from migration_assets.loading.jobs import converted_by
from migration_assets.source.reading import split

SECRET = "hunter2"
FAILING = ObjectId("507f1f77bcf86cd799439011")
DATA = b"".join(
    bson.encode({"_id": identifier}) for identifier in (ObjectId(bytes(12)), FAILING, 7)
)


def failing(data: bytes) -> ConvertedBatch:
    if any(FAILING.binary in document for document in split(data)):
        raise ValueError(f"could not convert {SECRET}")
    return ConvertedBatch(0, identities("Users", data), Books(), traced=())


def test_a_failing_document_is_named_without_its_content() -> None:
    with pytest.raises(LoadError) as raised:
        converted_by(failing, "Users", DATA)
    message = str(pickle.loads(pickle.dumps(raised.value)))
    document = f"the document with _id {FAILING}"
    assert message.startswith(
        f"Users: the conversion of {document} ended by an unexpected ValueError"
    )
    assert "test_jobs.py line " in message
    assert SECRET not in message
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_an_error_of_no_single_document_names_the_batch() -> None:
    def of_many(data: bytes) -> ConvertedBatch:
        if len(list(split(data))) > 1:
            raise KeyError(SECRET)
        return failing(b"")

    with pytest.raises(
        LoadError, match="of documents of a batch ended by an unexpected KeyError"
    ) as raised:
        converted_by(of_many, "Users", DATA)
    assert SECRET not in str(raised.value)


def test_an_error_for_the_operator_passes_unchanged() -> None:
    def refused(_: bytes) -> ConvertedBatch:
        raise SourceError("gone", where="MongoDB", next_step="Look")

    with pytest.raises(SourceError, match="gone"):
        converted_by(refused, "Users", DATA)
