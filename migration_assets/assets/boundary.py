"""The boundary to Dagster, which keeps message, stack and causes of whatever a step raises.

No value of a document passes it. Our own errors hold none; what any other error says is not known, so only
its kind and the lines of code that it came through are passed on.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import dagster as dg

import migration_assets
from migration_assets.errors import MigrationError, UnexpectedError

Body = TypeVar("Body", bound=Callable[..., Any])
Error = TypeVar("Error", bound=BaseException)

_ROOT = Path(migration_assets.__file__).parents[1]
_CONTROL = (
    dg.Failure,
    dg.RetryRequested,
    dg.DagsterExecutionInterruptedError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
)
"""What Dagster and Python are told with; we raise the first two ourselves."""


def guarded(body: Body) -> Body:
    """Decorates the body of a step, resource, schedule or sensor: what it raises holds no value."""
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def generator(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
            with _without_values():
                return (yield from body(*arguments, **named))

        return cast("Body", generator)

    @functools.wraps(body)
    def function(*arguments: Any, **named: Any) -> Any:
        with _without_values():
            return body(*arguments, **named)

    return cast("Body", function)


def alone(error: Error) -> Error:
    """Returns an error without those that it came from: what they say is kept with it."""
    error.__cause__ = None
    error.__context__ = None
    return error


@contextmanager
def _without_values() -> Iterator[None]:
    try:
        yield
    except _CONTROL:
        raise
    except MigrationError as error:
        raise alone(error) from None
    except BaseException as error:  # polars' panics are no Exception
        unexpected = UnexpectedError(type(error).__name__, where=_place(error))
        raise unexpected.with_traceback(error.__traceback__) from None


def _place(error: BaseException) -> str:
    """Returns the last line of our own code that an error came through."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_ROOT / "migration_assets")
    ]
    last = frames[-1]
    return f"{Path(last.filename).relative_to(_ROOT)}, line {last.lineno}, in {last.name}"
