"""The command: ``python -m migration_assets_bench``, or ``make bench``."""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from migration_assets.embedded import EmbeddedServers
from migration_assets_bench.chart import svg
from migration_assets_bench.figures import figures, ratios
from migration_assets_bench.machine import machine, versions
from migration_assets_bench.peers import PEERS, Peer, PeerEnvironment
from migration_assets_bench.report import tables, write_into
from migration_assets_bench.results import Results
from migration_assets_bench.rounds import OURS, Rounds, prepared
from migration_assets_bench.tasks import Measurement


def main() -> int:
    """Runs the benchmark; returns 1 where a measurement may not be quoted."""
    arguments = _parser().parse_args()
    results = _measured(arguments)
    name = f"bench-{results.made_at.replace(':', '').replace('-', '')}"
    directory: Path = arguments.results
    results.write(directory / f"{name}.json")
    (directory / f"{name}.svg").write_text(svg(results), encoding="utf-8")
    print(f"\n{tables(results)}")
    print(f"{directory / name}.json and .svg hold the results")
    if arguments.docs is not None:
        write_into(arguments.docs, tables(results))
        arguments.docs.with_suffix(".svg").write_text(svg(results), encoding="utf-8")
    return int(any(each.problem is not None for each in results.measurements))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="migration_assets_bench", description=__doc__)
    parser.add_argument(
        "--scales",
        type=float,
        nargs="+",
        default=[1.0, 10.0],
        help="sizes; 1 is about 27,000 documents",
    )
    parser.add_argument("--repeat", type=int, default=5, help="rounds at each size")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample")
    parser.add_argument("--only", nargs="+", choices=OURS, default=OURS, help="what of us")
    parser.add_argument("--no-peers", action="store_true", help="leave out dlt and Sling")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(".migration-assets/bench"),
        help="where servers and files go; what is there is removed, but for the installed peers",
    )
    parser.add_argument("--results", type=Path, default=Path("bench-results"))
    parser.add_argument("--docs", type=Path, help="a page to write the figures into")
    return parser


def _measured(arguments: argparse.Namespace) -> Results:
    work: Path = arguments.work.resolve()
    environment = PeerEnvironment(work / "peers")
    peers, notes = _peers(environment, wanted=not arguments.no_peers)
    measurements: list[Measurement] = []
    documents: dict[float, int] = {}
    _clear(work)
    servers = EmbeddedServers(work / "servers")
    try:
        with servers as urls:
            found_versions = dict(versions(urls))
            found_versions |= {each.name: environment.version(each.package) for each in peers}
            for scale in arguments.scales:
                print(f"making the sample of scale {scale:g} ...", flush=True)
                ground = prepared(urls, work, scale=scale, seed=arguments.seed)
                documents[scale] = ground.documents
                print(f"{ground.documents:,} documents", flush=True)
                rounds = Rounds(
                    servers, work, ground, arguments.only, peers, environment, _tell, measurements
                )
                rounds.run(arguments.repeat)
    except KeyboardInterrupt:
        if not measurements:
            raise
        notes.append("Interrupted: not every round was measured.")
    finally:
        _clear(work)
    loads = [each.load_average for each in measurements]
    return Results(
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine(),
        versions=found_versions,
        repeats=max(each.number for each in measurements),
        documents=documents,
        load_average=(min(loads), max(loads)),
        notes=tuple(notes),
        ratios=tuple(ratios(measurements, documents)),
        figures=tuple(figures(measurements, documents)),
        measurements=tuple(measurements),
    )


def _peers(environment: PeerEnvironment, *, wanted: bool) -> tuple[tuple[Peer, ...], list[str]]:
    """Installs the peers; returns those that can be used, and what is to be said of each."""
    usable: list[Peer] = []
    notes = []
    for peer in PEERS if wanted else ():
        print(f"installing {peer.name} ...", flush=True)
        problem = environment.install(peer.requirements)
        if problem is None:
            usable.append(peer)
        notes.append(f"{peer.name}: {peer.settings if problem is None else problem}.")
    return tuple(usable), notes


def _clear(work: Path) -> None:
    """Removes what a run leaves behind; servers of one that was cut off are stopped first."""
    if (work / "servers").exists():
        EmbeddedServers(work / "servers").stop()
    for path in work.glob("*") if work.exists() else ():
        if path.name in ("servers", "dagster") or path.name.startswith("rows_"):
            shutil.rmtree(path)


def _tell(measured: Measurement) -> None:
    said = measured.problem or f"{measured.seconds:.2f} s, {measured.peak_megabytes:.0f} MB"
    print(
        f"{measured.scale:g} #{measured.number} {measured.name}: {said} "
        f"(load average {measured.load_average:.1f})",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
