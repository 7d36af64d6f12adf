"""Restoring a dump: it arrives byte for byte, or nothing does and one line says why."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.commands import restoring
from migration_assets.dump import open_dump
from migration_assets.dump import restoring as writing
from migration_assets.errors import MigrationError
from migration_assets.settings import SOURCE_URL
from migration_assets_tests.support.dumps import (
    END,
    Dumped,
    archive,
    block,
    crc64,
    gzipped,
    write_archive,
    write_directory,
)

RAW = CodecOptions(document_class=RawBSONDocument)


def doubled(number: int) -> bytes:
    """A document with a field twice, which only the application's driver wrote."""
    field = b"\x10a\x00" + number.to_bytes(4, "little")
    body = b"\x10_id\x00" + number.to_bytes(4, "little") + field + field
    return (len(body) + 5).to_bytes(4, "little") + body + b"\x00"


USERS = [
    bson.encode(
        {"_id": ObjectId(), "name": "é\0", "n": Int64(7), "x": -0.0, "d": datetime(2024, 1, 1)}
    ),
    bson.encode(
        {"_id": ObjectId(), "z": 1, "a": {"$b": [None, Decimal128("1.10")]}, "": 2, "a.b": 3}
    ),
    bson.encode({"_id": 7.0, "t": {"t": Timestamp(0, 0)}}),
    bson.encode({"_id": "text", "long": "x" * 100_000}),
]
LONG = "long/" + "%ñ" * 60
VIEW = Dumped("a view", options={"viewOn": "Users", "pipeline": []}, type="view")
SERIES = Dumped("weather", options={"timeseries": {"timeField": "t"}}, type="timeseries")
COLLECTIONS = [
    Dumped("Users", USERS, {"validator": {"never": True}}),
    Dumped("crm/50%.é", [doubled(number) for number in range(5)]),
    Dumped("empty"),
    Dumped("capped", USERS[:1], {"capped": True, "size": {"$numberInt": "4096"}, "max": 1}),
    Dumped(
        "Names",
        [bson.encode({"_id": "b"}), bson.encode({"_id": "a"})],
        {"collation": {"locale": "en", "strength": {"$numberInt": "1"}, "version": "57.1"}},
    ),
    Dumped(LONG, [doubled(1)]),
    VIEW,
    SERIES,
    Dumped("system.js", [doubled(2)]),
    Dumped("system.version", [doubled(3)], database="admin"),
]
RESTORED = {collection.name: sorted(collection.documents) for collection in COLLECTIONS[:6]}


def there(url: str) -> dict[str, list[bytes]]:
    """The documents of every collection, as bytes."""
    with MongoClient[Any](url) as client:
        database = client.get_default_database(codec_options=RAW)
        names = database.list_collection_names()
        return {
            name: sorted(bytes(document.raw) for document in database[name].find())
            for name in names
        }


def restore(*arguments: str | Path) -> tuple[int, str, str]:
    """Runs the command; returns its exit code, its output, and its error as one line."""
    result = CliRunner().invoke(app, ["restore-dump", *map(str, arguments)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


FORMS: dict[str, Callable[[Path], Path]] = {
    "directory": lambda home: write_directory(home / "dump", COLLECTIONS),
    "directory of gzip": lambda home: write_directory(home / "dump", COLLECTIONS, gzipped),
    "directory of the database": lambda home: write_directory(home, COLLECTIONS) / "nextcrm",
    "archive": lambda home: write_archive(home / "archive", COLLECTIONS),
    "archive in gzip": lambda home: write_archive(home / "archive.gz", COLLECTIONS, gzipped),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_restored_byte_for_byte(
    form: str, source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_BATCH_DOCUMENTS", 3)
    dump = FORMS[form](tmp_path)
    code, output, _ = restore(dump, "--to", source_url)
    assert code == 0
    assert there(source_url) == RESTORED
    assert f"{len(RESTORED)} collections" in output
    for line in ("view: a view", "time series: weather", "system collection: system.js"):
        assert f"not restored, {line}" in output
    assert f"export {SOURCE_URL.name}='mongodb://" in output
    with MongoClient[Any](source_url) as client:
        names = client.get_default_database()["Names"]
        assert names.options()["collation"]["strength"] == 1
        assert [document["_id"] for document in names.find({"_id": "A"})] == ["a"]


def test_the_embedded_server_is_filled_where_none_is_named(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_embedded", lambda: source_url)
    monkeypatch.setenv(SOURCE_URL.name, "mongodb://production.example/nextcrm")
    code, output, _ = restore(write_directory(tmp_path, COLLECTIONS[:1]))
    assert code == 0
    assert there(source_url) == {"Users": sorted(USERS)}
    assert f"export {SOURCE_URL.name}='{source_url}'" in output


def test_files_that_are_no_collection_are_named(source_url: str, tmp_path: Path) -> None:
    dump = write_directory(tmp_path, COLLECTIONS[:1])
    for name in ("oplog.bson", "prelude.json", "nextcrm/notes.txt"):
        (dump / name).write_bytes(b"")
    code, output, _ = restore(dump, "--to", source_url)
    assert code == 0
    assert "oplog.bson" in output
    assert "notes.txt" in output
    assert "prelude" not in output


def test_a_database_that_holds_something_is_left_alone(source_url: str, tmp_path: Path) -> None:
    with MongoClient[Any](source_url) as client:
        client.get_default_database()["theirs"].insert_one({"_id": 1})
    before = there(source_url)
    code, _, error = restore(write_archive(tmp_path / "a", COLLECTIONS), "--to", source_url)
    assert code == 2
    assert "the database is not empty: 1 collection, theirs among them" in error
    assert f"{source_url}_rehearsal; nothing was changed" in error
    assert there(source_url) == before


@pytest.mark.parametrize("arguments", [[], ["--database", "third"]])
def test_one_of_several_databases_must_be_named(
    arguments: list[str], source_url: str, tmp_path: Path
) -> None:
    both = [Dumped("a", USERS), Dumped("b", USERS, database="other")]
    for dump in (write_directory(tmp_path / "d", both), write_archive(tmp_path / "a", both)):
        code, _, error = restore(dump, "--to", source_url, *arguments)
        assert (code, there(source_url)) == (2, {})
        assert "the databases nextcrm, other. Name one with --database" in error
    assert restore(dump, "--to", source_url, "--database", "other")[0] == 0
    assert set(there(source_url)) == {"b"}


GOOD = [Dumped("Users", USERS), Dumped("Boards", [doubled(1)])]
WHOLE = archive(GOOD)
BSON = b"".join(USERS)


def files(home: Path, *, data: bytes = BSON, name: str = "Users.bson") -> Path:
    (write_directory(home / "dump", GOOD) / "nextcrm" / name).write_bytes(data)
    return home / "dump"


def file(home: Path, data: bytes) -> Path:
    (home / "archive").write_bytes(data)
    return home / "archive"


def without(home: Path, name: str) -> Path:
    (files(home) / "nextcrm" / name).unlink()
    return home / "dump"


def turned(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


SECOND = len(USERS[0])
DAMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut within a document": (
        lambda home: files(home, data=BSON[: SECOND + 9]),
        f"Users.bson: the file ends in the middle of a document (byte {SECOND})",
    ),
    "cut within a length": (
        lambda home: files(home, data=BSON[: SECOND + 2]),
        f"middle of a document (byte {SECOND})",
    ),
    "no length": (
        lambda home: files(home, data=b"\x01\x00\x00\x00" + BSON),
        "no BSON document begins",
    ),
    "a length beyond all": (lambda home: files(home, data=b"\xff\xff\xff\x7f"), "2,147,483,647"),
    "a negative length": (lambda home: files(home, data=b"\xf0\xff\xff\xff"), "would be -16"),
    "a terminator among files": (
        lambda home: files(home, data=END),
        "no BSON document begins here",
    ),
    "another length": (
        lambda home: files(home, data=turned(BSON, 0)),
        "does not end where its length says",
    ),
    "text": (lambda home: files(home, data=b"id;name\n1;Eve"), "no BSON document begins here"),
    "damaged within": (
        lambda home: files(home, data=USERS[0].replace(b"\x02name", b"\x77name")),
        "collection Users: the server refused it (code 22: a document is damaged)",
    ),
    "doubled": (lambda home: files(home, data=BSON + USERS[0]), "two documents have the same _id"),
    "no gzip": (
        lambda home: files(home, data=BSON, name="Boards2.bson.gz"),
        "Boards2.bson.gz: the file is no gzip from here on",
    ),
    "gzip cut off": (
        lambda home: files(home, data=gzip.compress(BSON)[:-20], name="Boards2.bson.gz"),
        "the compressed file is cut off",
    ),
    "both": (
        lambda home: files(home, data=gzip.compress(BSON), name="Users.bson.gz"),
        "the file is there twice, compressed and not compressed",
    ),
    "documents missing": (
        lambda home: without(home, "Users.bson"),
        "Users.metadata.json: the file of its documents is missing",
    ),
    "metadata": (
        lambda home: files(home, data=b"{]", name="Users.metadata.json"),
        "Users.metadata.json: the metadata are not the JSON",
    ),
    "empty directory": (lambda home: home, "there is no file of a dump in it"),
    "nothing there": (lambda home: home / "dump", "cannot be read: No such file"),
    "no archive": (lambda home: file(home, b"PK\x03\x04"), "the file is no archive of mongodump."),
    "empty file": (lambda home: file(home, b""), "the file is no archive of mongodump."),
    "a file of a directory": (lambda home: file(home, BSON), "give the directory that they are in"),
    "gzip of something": (
        lambda home: file(home, gzip.compress(b"tar")),
        "the file is no archive of mongodump within the gzip",
    ),
    "gzip of an archive cut off": (
        lambda home: file(home, gzip.compress(WHOLE)[:-9]),
        "the compressed file is cut off",
    ),
    "head alone": (lambda home: file(home, WHOLE[:4]), "ends within its head"),
    "contents cut off": (lambda home: file(home, WHOLE[: WHOLE.index(END)]), "table of contents"),
    "archive cut within a document": (
        lambda home: file(home, WHOLE[:2000]),
        "middle of a document",
    ),
    "no blocks": (
        lambda home: file(home, WHOLE[: WHOLE.index(END) + 4]),
        "the archive ends before the end of nextcrm.Boards and 1 others",
    ),
    "last end missing": (
        lambda home: file(home, WHOLE[: -len(block(GOOD[1], is_end=True)[0]) - 4]),
        "the archive ends before the end of nextcrm.Boards (byte",
    ),
    "last terminator missing": (
        lambda home: file(home, WHOLE[:-4]),
        "the archive ends within collection nextcrm.Boards",
    ),
    "checksum": (
        lambda home: file(home, turned(WHOLE, WHOLE.index(b"xxxxxxxx") + 5)),
        "the checksum of nextcrm.Users is another",
    ),
    "two terminators": (lambda home: file(home, WHOLE + END), "a block of documents has no head"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_dump_gets_one_line_and_leaves_nothing(
    damage: str, source_url: str, tmp_path: Path
) -> None:
    write_damaged, expected = DAMAGES[damage]
    code, output, error = restore(write_damaged(tmp_path), "--to", source_url)
    assert code == 2, output
    (line,) = error.strip().splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert there(source_url) == {}


def test_what_cannot_be_read_is_named(source_url: str, tmp_path: Path) -> None:
    """Rights stop nobody who is root, so a directory stands where a file should."""
    dump = without(tmp_path, "Users.bson")
    (dump / "nextcrm" / "Users.bson").mkdir()
    code, _, error = restore(dump, "--to", source_url)
    assert code == 2
    assert "Users.bson: the file cannot be read: Is a directory" in error


@pytest.mark.parametrize("url", ["mongodb://127.0.0.1:9/", "nonsense", "mongodb://u:secret@/x"])
def test_an_unusable_url_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    code, output, error = restore(write_directory(tmp_path, GOOD), "--to", url)
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert "secret" not in output + error


def test_the_checksum_is_that_of_the_archives() -> None:
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA  # as catalogues of checksums have it


def test_what_was_restored_is_removed_where_it_is_interrupted(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(documents: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, list[bytes]]]:
        name, document = next(documents)
        yield {name: [document]}
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # which the signal ends

    monkeypatch.setattr(writing, "_batches", batches)
    code, _, error = restore(write_directory(tmp_path, GOOD), "--to", source_url)
    assert code == 2
    assert error.strip().endswith("interrupted. What was restored is removed: start again")
    assert there(source_url) == {}


def test_what_cannot_be_removed_is_named(
    source_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes away in the middle."""
    shutil.copytree(files(tmp_path, data=BSON[:-1]), tmp_path / "copy")
    with MongoClient[Any](source_url) as client:
        database = client.get_default_database()

        def say(_: str) -> None:
            client.close()

        monkeypatch.setattr(writing, "_BATCH_DOCUMENTS", 1)
        with (
            open_dump(tmp_path / "copy") as dump,
            pytest.raises(MigrationError, match="could not be removed"),
        ):
            writing.restore(dump, "nextcrm", database, say)
