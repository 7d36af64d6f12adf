"""The asset graph as Dagster loads it: what there is, in which order, and what the catalog says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions, version
from itertools import groupby
from pathlib import Path

import dagster as dg
import pytest
from dagster_shared.libraries import library_version_from_core_version
from sqlalchemy.dialects import postgresql as pg

from migration_assets.assets.describe import column_schema
from migration_assets.assets.keys import table_key
from migration_assets.definitions import build_defs
from migration_assets.nextcrm import ENTITIES, TABLES
from migration_assets.settings import DAGSTER_URL, SOURCE_URL, TARGET_URL
from migration_assets.validation.evidence import Layer
from migration_assets_tests import ROOT

SNAPSHOT = Path(__file__).with_name("snapshots") / "graph.txt"
RENEW = "RENEW_SNAPSHOTS"
ONCE = (
    "migration/target_schema",
    "migration/uuid_map",
    "migration/constraints",
    "migration/sign_off",
    "migration/preflight",
    "monitoring/queries",
    "monitoring/health",
    "monitoring/capacity",
)
"""The single assets, beside a source for each collection and an asset for each table."""

CORE_PACKAGES = frozenset({"dagster", "dagster-graphql", "dagster-pipes", "dagster-webserver"})
"""The packages of Dagster that carry its own version; a library such as dagster-postgres has another."""


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in defs.resolve_all_asset_specs()}


def test_graph_is_the_one_in_the_snapshot(defs: dg.Definitions) -> None:
    lines = "\n".join(graph_lines(defs)) + "\n"
    if os.environ.get(RENEW):
        SNAPSHOT.write_text(lines, encoding="utf-8")
    assert lines == SNAPSHOT.read_text(encoding="utf-8"), (
        f"The asset graph is not the one in {SNAPSHOT.relative_to(ROOT)}. Where the change is meant, "
        f"write the file anew with `{RENEW}=1 make test` and review its difference; where it is not, "
        "the lines above say what has changed."
    )


def test_every_table_describes_itself(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for name, table in TABLES.items():
        spec = specs[table_key(name)]
        assert spec.description, name
        assert spec.owners, name
        schema = spec.metadata["dagster/column_schema"]
        assert schema == column_schema(table), name
        assert [column.name for column in schema.columns] == [
            declared.name for declared in table.columns
        ]
        for column, declared in zip(schema.columns, table.columns, strict=True):
            assert column.type, (name, column.name)
            assert column.description, (name, column.name)
            assert column.constraints.nullable == declared.nullable, (name, column.name)
        assert spec.metadata["dagster/table_name"] == f"public.{name}"


def test_every_column_has_its_lineage(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for name, table in TABLES.items():
        lineage = specs[table_key(name)].metadata["dagster/column_lineage"].deps_by_column
        assert set(lineage) == {column.name for column in table.columns}
        upstream = {dependency.asset_key for dependency in specs[table_key(name)].deps}
        for column, origins in lineage.items():
            assert origins, (name, column)
            for origin in origins:
                # An id held as text is looked up in the map, so its table need not be loaded before.
                is_text = origin.column_name == "id" and not isinstance(
                    table.c[column].type, pg.UUID
                )
                assert is_text or origin.asset_key in upstream, (name, column)


def test_everything_has_a_description(
    defs: dg.Definitions, specs: dict[dg.AssetKey, dg.AssetSpec]
) -> None:
    assert [key.to_user_string() for key, spec in specs.items() if not spec.description] == []
    graph = defs.resolve_asset_graph()
    checks = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert [check.key for check in checks if not check.description] == []
    jobs = [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]
    assert [job.name for job in jobs if not job.description] == []


def test_every_asset_says_where_its_code_is(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for key, spec in specs.items():
        references = spec.metadata["dagster/code_references"].code_references
        files = {Path(reference.file_path).relative_to(ROOT).parts[:2] for reference in references}
        assert files == {("migration_assets", "assets")}, key


def test_counts_are_those_of_the_application() -> None:
    assert (len(ENTITIES), len(TABLES)) == (29, 39)


_IMPORT_ALONE = """
import sys

def refuse(*args, **kwargs):
    raise SystemExit(f"a connection was opened: {args}")

def hook(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        refuse(event, args)

sys.addaudithook(hook)
# libpq connects without Python's sockets.
import psycopg, psycopg2
psycopg.connect = psycopg.Connection.connect = psycopg2.connect = refuse
import migration_assets.definitions as loaded
print(len(loaded.defs().resolve_asset_graph().get_all_asset_keys()))
"""


def test_definitions_load_without_servers_and_variables(tmp_path: Path) -> None:
    ours = {
        SOURCE_URL.name,
        TARGET_URL.name,
        DAGSTER_URL.name,
        "DAGSTER_HOME",
        "MIGRATION_ASSETS_HOME",
    }
    completed = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALONE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ours},
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    assert int(completed.stdout) == 29 + 39 + len(ONCE)
    assert list(tmp_path.iterdir()) == []


def test_dagster_is_of_one_release() -> None:
    release = version("dagster")
    installed = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in distributions()
        if distribution.metadata["Name"].lower().startswith("dagster")
    }
    assert installed.keys() > CORE_PACKAGES
    assert installed == _of_release(installed, release)


def test_dagster_is_locked_to_one_release() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^(dagster[\w-]*)==([\w.]+)", lock, flags=re.MULTILINE))
    assert locked.keys() > CORE_PACKAGES
    assert locked == _of_release(locked, locked["dagster"])


def _of_release(names: Iterable[str], release: str) -> dict[str, str]:
    """Returns the version that each package of a release of Dagster has."""
    # These follow the core like the packages that are named after it.
    core = CORE_PACKAGES | {
        *("dagster-shared", "dagster-cloud-cli", "dagster-dg-cli", "dagster-dg-core"),
    }
    library = library_version_from_core_version(release)
    return {name: release if name in core else library for name in names}


def graph_lines(defs: dg.Definitions) -> Iterator[str]:
    """Yields the graph in words, so that a change of it reads well as a difference."""
    graph = defs.resolve_asset_graph()
    keys = sorted(graph.get_all_asset_keys())
    yield f"# The asset graph. Written by test_graph.py, where {RENEW}=1 is set."
    for key in keys:
        node = graph.get(key)
        kind = "source" if node.is_observable else "asset"
        yield ""
        yield f"{kind} {key.to_user_string()}"
        yield f"  group  {node.group_name}"
        yield f"  kinds  {', '.join(sorted(node.kinds))}"
        yield f"  owners {', '.join(node.owners)}"
        for prefix, paths in _by_prefix(node.parent_keys, keys):
            yield f"  after  {prefix}: {paths}"
        for check in sorted(node.check_keys, key=lambda check_key: _order(check_key.name)):
            blocking = "blocking" if graph.get_check_spec(check).blocking else "not blocking"
            yield f"  check  {check.name}, {blocking}"
    for job in sorted(defs.resolve_all_job_defs(), key=lambda job: job.name):
        if job.name.startswith("__"):
            continue
        layer = job.asset_layer
        yield ""
        yield f"job {job.name}"
        yield f"  executor {job.executor_def.name}"
        for prefix, paths in _by_prefix(layer.selected_asset_keys, keys):
            yield f"  asset  {prefix}: {paths}"
        selected = sorted(layer.asset_graph.asset_check_keys, key=lambda check_key: check_key.name)
        for name, checks in groupby(selected, key=lambda check_key: check_key.name):
            tables = [check_key.asset_key for check_key in checks]
            for prefix, paths in _by_prefix(tables, keys):
                yield f"  check  {name} of {prefix}: {paths}"


def _order(check: str) -> tuple[int, str]:
    """Returns the place of a check: the four layers as they are numbered, then all others by name."""
    layers = [layer.value for layer in Layer]
    return (layers.index(check) if check in layers else len(layers)), check


def _by_prefix(
    chosen: Iterable[dg.AssetKey], everything: Iterable[dg.AssetKey]
) -> Iterator[tuple[str, str]]:
    """Yields keys by their first part, as words; all that begin with it are `all`."""
    for prefix, keys in groupby(sorted(chosen), key=lambda key: key.path[0]):
        mine = list(keys)
        of_prefix = [key for key in everything if key.path[0] == prefix]
        is_all = mine == of_prefix and len(mine) > 4
        names = [f"all {len(mine)}"] if is_all else [key.path[-1] for key in mine]
        yield prefix, ", ".join(names)
