"""What PostgreSQL and mongod have in common: started once, found again, stopped, killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from migration_assets.embedded.machine import (
    POLL_SECONDS,
    Account,
    EmbeddedServerError,
    Process,
    account_of,
    free_port,
    give,
    is_alive,
    is_ending,
    is_free,
    let_through,
    psutil_module,
)
from migration_assets.settings import EMBEDDED_HOME


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now.

    Attributes:
        name: `postgres` or `mongod`.
        pid: Its main process, or None when it is not running.
        port: Its port, or None when it was never started.
        log: Its log file.
    """

    name: str
    pid: int | None
    port: int | None
    log: Path


@dataclass(frozen=True)
class ServerState:
    """What `server.json` remembers of the last start."""

    port: int
    replica_set: bool = False


@dataclass(frozen=True)
class EmbeddedServer(ABC):
    """What PostgreSQL and mongod have in common: a home, a main process, a port and a log."""

    home: Path
    timeout: float
    host: str

    name: ClassVar[str]
    pid_file: ClassVar[str]  # kept by the server itself, in its data
    stop_signal: ClassVar[signal.Signals]
    url_variable: ClassVar[str]

    @abstractmethod
    def _program(self, name: str) -> Path:
        """The path of an installed program."""

    @abstractmethod
    def _initialize(self, data: Path, account: Account | None) -> None:
        """Fills a new, empty data directory."""

    @abstractmethod
    def _command(self, port: int) -> list[str | Path]:
        """The command that starts the daemon, and ends when it listens."""

    @abstractmethod
    def _make_ready(self) -> None:
        """Waits until the running server takes writes, and creates what it lacks."""

    @abstractmethod
    def _check(self, state: ServerState) -> None:
        """Refuses a running server that was started as something else."""

    @property
    def data(self) -> Path:
        """The directory of its data."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.home / "server.log"

    def start(self) -> None:
        """Starts it unless it is running, and waits until it takes writes."""
        with self._locked():
            main, state = self._main(), self._last_state()
            if main is not None and state is not None:
                self._check(state)
                try:
                    self._make_ready()
                    return
                except EmbeddedServerError:  # unless that is because it was killed just before
                    if not self._wait(lambda: not is_alive(main), seconds=1):
                        raise
            self._launch()
            self._make_ready()

    def stop(self) -> None:
        """Stops it, by force after `timeout`."""
        if not self.home.exists():  # never started, or deleted while running
            self.kill()
            return
        with self._locked():
            main = self._main()
            if main is not None:
                with suppress(psutil_module().Error):
                    main.send_signal(self.stop_signal)
                self._wait(lambda: not is_alive(main))
            self.kill()

    def kill(self) -> None:
        """Ends all its processes with SIGKILL."""
        killed: list[Process] = []

        def all_ended() -> bool:
            running = self._processes()
            for process in running:
                with suppress(psutil_module().Error):
                    process.kill()
            killed.extend(running)
            return not running and not any(is_alive(process) for process in killed)

        if not self._wait(all_ended):
            raise self._error("does not end, even by SIGKILL", "End it as the user who started it")

    def status(self) -> ServerStatus:
        """Looks at it, and changes nothing."""
        main, state = self._main(), self._last_state()
        return ServerStatus(
            name=self.name,
            pid=None if main is None else main.pid,
            port=None if state is None else state.port,
            log=self.log,
        )

    def _launch(self) -> None:
        """Starts the server where none is running, on its last port if that is free."""
        program = self._program(self.name)
        # What a killed server left running, or one whose directory was deleted; and its pid file,
        # since its number may be another program's by now, and PostgreSQL would not start.
        last_main = self._recorded()
        if last_main is not None:
            self._wait(lambda: not is_ending(last_main))
        self.kill()
        (self.data / self.pid_file).unlink(missing_ok=True)
        account = account_of(self.data)
        if account is not None:
            let_through(self.data)
            let_through(program)
        self.log.touch(mode=0o600)
        give(self.log, account)
        if not self.data.exists():
            self._create_data(account)
        last = self._last_state()
        port = (
            last.port
            if last is not None and is_free(self.host, last.port)
            else free_port(self.host)
        )
        self._remember(port)
        self._run(self._command(port), account)

    def _create_data(self, account: Account | None) -> None:
        """Creates the data directory: whole or not at all, even if this process is killed."""
        unfinished = self.home / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        give(unfinished, account)
        self._initialize(unfinished, account)
        unfinished.rename(self.data)

    def _run(self, command: list[str | Path], account: Account | None) -> None:
        """Runs a command to its end, and says why when it fails."""
        environment = {name: value for name, value in os.environ.items() if name[:2] != "PG"}
        logged = self.log.stat().st_size
        # A file and no pipe: a daemon that keeps a pipe open keeps this process waiting.
        with tempfile.TemporaryFile() as output:
            try:
                subprocess.run(  # noqa: S603 - programs of the installed wheels, without a shell
                    command,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=environment | {"LC_ALL": "C"},
                    timeout=self.timeout,
                    start_new_session=True,
                    user=None if account is None else account.uid,
                    group=None if account is None else account.gid,
                    extra_groups=None if account is None else [],
                )
            except (OSError, subprocess.SubprocessError) as exc:
                output.seek(0)
                with self.log.open("rb") as log:
                    log.seek(logged)
                    output_text = (log.read() + b"\n" + output.read()).decode(errors="replace")
                raise self._error(*self._reason(exc, output_text)) from exc

    def _reason(self, exc: OSError | subprocess.SubprocessError, output: str) -> tuple[str, str]:
        """What went wrong in a command, and what to do about it."""
        if isinstance(exc, subprocess.TimeoutExpired):
            return f"did not start within {self.timeout:g} s", f"See {self.log}, start again"
        reason = _first_complaint(output) or str(exc)
        if "shared libraries" in reason:
            next_step = "Install that library (libcurl.so.4: apt-get install libcurl4)"
        else:
            next_step = f"See {self.log}"
        return f"did not start: {reason}", next_step

    def _main(self) -> Process | None:
        """The main process, if it is running."""
        process = self._recorded()
        return process if process is not None and self._is_ours(process) else None

    def _recorded(self) -> Process | None:
        """The process of the pid file, which may be another program: numbers are used again."""
        psutil = psutil_module()
        try:
            pid = int((self.data / self.pid_file).read_text().split(maxsplit=1)[0])
            process: Process = psutil.Process(pid)
        except (FileNotFoundError, IndexError, ValueError):  # mongod leaves it empty when it ends
            return None
        except OSError as exc:
            raise self._unusable(exc) from exc
        except psutil.NoSuchProcess:
            return None
        return process

    def _processes(self) -> list[Process]:
        """Every process of this server, with or without a pid file."""
        return [process for process in psutil_module().process_iter() if self._is_ours(process)]

    def _is_ours(self, process: Process) -> bool:
        """Whether a process is alive and serves our data: as started, or as a backend in it."""
        data = str(self.data)
        try:
            return (
                process.name() == self.name
                and is_alive(process)
                and (data in process.cmdline() or process.cwd() == data)
            )
        except psutil_module().Error:
            return False

    def _wait_until_ready(self, is_ready: Callable[[], bool]) -> None:
        """Waits for a server that must be running."""
        self._wait(lambda: self._main() is None or is_ready())
        if self._main() is None or not is_ready():
            raise self._error("is not ready", f"See {self.log}")

    def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Waits for a condition, `timeout` unless told; False when it was in vain."""
        deadline = time.monotonic() + (self.timeout if seconds is None else seconds)
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _state(self, port: int) -> ServerState:
        return ServerState(port)

    def _remember(self, port: int) -> None:
        unfinished = self.home / "server.json.new"
        unfinished.write_text(json.dumps(asdict(self._state(port))))
        unfinished.replace(self.home / "server.json")

    def _last_state(self) -> ServerState | None:
        try:
            return ServerState(**json.loads((self.home / "server.json").read_text()))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _known_state(self) -> ServerState:
        state = self._last_state()
        if state is None:
            raise self._error("was never started", "Start it")
        return state

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one process at a time start or stop this server."""
        try:
            import fcntl  # noqa: PLC0415 - Windows does not have it
        except ImportError as exc:
            raise self._error("needs Linux or macOS", "Use one of them") from exc
        try:
            if not self.home.parent.exists():
                self.home.parent.mkdir(parents=True, exist_ok=True)
                (self.home.parent / ".gitignore").write_text("*\n")
            self.home.mkdir(exist_ok=True)
            with (self.home / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, exc: OSError) -> EmbeddedServerError:
        what = f"cannot use {exc.filename or 'its directory'}: {exc.strerror or exc}"
        return self._error(what, f"Set {EMBEDDED_HOME.name} to a directory of your own")

    def _error(self, what: str, next_step: str) -> EmbeddedServerError:
        return EmbeddedServerError(
            what,
            where=f"embedded {self.name} in {self.home}",
            next_step=f"{next_step}, or set {self.url_variable} to use a server of your own.",
        )


def _first_complaint(output: str) -> str:
    """The line that tells most of what a failed server said; else its last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marks = ("FATAL", "ERROR", "error:", "error while", '"s":"E"', '"s":"F"')
    complaints = [line for line in lines if any(mark in line for mark in marks)]
    line = (complaints or lines[-1:] or [""])[0]
    return (line.partition('"msg":')[2] or line)[:400]  # mongod's lines are JSON
