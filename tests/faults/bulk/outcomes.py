"""What may come of bad data: a right answer, or one message of the package. Counts cases, and ends those that hang."""

import faulthandler
import functools
import io
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import pytest
from helpers.commands import run
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from nested_lightning.errors import NestedLightningError

LONGEST_CASE = 120  # seconds; no case takes more than a few, but a machine may be busy
COUNTS: dict[str, list[float]] = {}
"""Per family: cases answered, cases refused by a message, seconds."""


class Hangs(BaseException):
    """A case takes too long; no ``except Exception`` of the library may swallow this."""


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the answer of a call, or the package's own error that it raises; anything else goes through."""
    try:
        return call(*args, **kwargs)
    except NestedLightningError as error:
        return error


def refused(outcome: Any) -> bool:
    """Return whether an outcome is a message, which may not be empty."""
    return isinstance(outcome, NestedLightningError) and bool(str(outcome).strip())


class Ended(NamedTuple):
    """How a command ended: its exit code, None if it ran to its end, and what it told as an error."""

    code: Any
    told: str

    @property
    def is_answered(self) -> bool:
        return self.code is None

    @property
    def as_promised(self) -> bool:
        """Whether it has done its work without an error, or refused it by exit code 2 and one message."""
        n_messages = sum(line.startswith("error: ") for line in self.told.splitlines())
        return (self.code, n_messages) in ((None, 0), (2, 1))


def ran(*args: object, until: type[BaseException] = SystemExit) -> Ended:
    """Run a command to its end, or until it raises ``until``; any exception but those goes through."""
    told, code = io.StringIO(), None
    try:
        with redirect_stderr(told), redirect_stdout(io.StringIO()):
            run(*args)
    except SystemExit as end:
        code = end.code or 0
    except until:
        pass
    return Ended(code, told.getvalue())


def bulk(cases: int, **strategies: SearchStrategy[Any]) -> Callable[[Callable[..., bool]], Callable[..., None]]:
    """Run a test on many cases; it returns whether the case was answered (else it was refused), and fails otherwise."""

    def decorate(test: Callable[..., bool]) -> Callable[..., None]:
        family = test.__module__.rpartition(".")[2].removeprefix("test_")

        @pytest.mark.slow
        @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(**strategies)
        @functools.wraps(test)
        def counted(*args: Any, **kwargs: Any) -> None:
            start = time.monotonic()
            with _limited(LONGEST_CASE):
                is_answered = test(*args, **kwargs)
            counts = COUNTS.setdefault(family, [0, 0, 0.0])
            counts[0 if is_answered else 1] += 1
            counts[2] += time.monotonic() - start

        return counted

    return decorate


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(10 * seconds, exit=True)  # a loop outside Python hears no signal
    try:
        yield
    except Hangs:
        raise AssertionError(f"took more than {seconds} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
