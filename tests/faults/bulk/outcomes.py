"""The two permitted outcomes of bad data: a correct result, or one error of the package. Counts both."""

import faulthandler
import functools
import io
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import pytest
from helpers.commands import run
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from nested_lightning.errors import NestedLightningError

LONGEST_CASE = 120  # seconds; no case takes more than a few, but a machine may be busy
COUNTS: dict[str, list[float]] = {}
"""Per family of tests: cases accepted, cases rejected with an error, seconds."""


class Hangs(BaseException):
    """Raised in a case that takes too long; no ``except Exception`` of the library catches it."""


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the result of a call, or the package's own error; any other exception is raised."""
    try:
        return call(*args, **kwargs)
    except NestedLightningError as error:
        return error


def is_rejected(outcome: Any) -> bool:
    """Return whether an outcome is an error with a message."""
    return isinstance(outcome, NestedLightningError) and bool(str(outcome).strip())


def command_accepts(*args: object, until: type[BaseException] = SystemExit) -> bool:
    """Run a command to its end, or until it raises ``until``.

    Returns:
        Whether it ended without an error; else it must have exited with code 2 and printed exactly one.
    """
    printed, code = io.StringIO(), None
    try:
        with redirect_stderr(printed), redirect_stdout(io.StringIO()):
            run(*args)
    except SystemExit as end:
        code = end.code or 0
    except until:
        pass
    n_errors = sum(line.startswith("error: ") for line in printed.getvalue().splitlines())
    assert (code, n_errors) in ((None, 0), (2, 1)), (code, printed.getvalue())
    return code is None


def bulk(cases: int, **strategies: SearchStrategy[Any]) -> Callable[[Callable[..., bool]], Callable[..., None]]:
    """Run a slow test on many cases; the test returns whether its case was accepted (else it was rejected)."""

    def decorate(test: Callable[..., bool]) -> Callable[..., None]:
        family = test.__module__.rpartition(".")[2].removeprefix("test_")

        @pytest.mark.slow
        @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(**strategies)
        @functools.wraps(test)
        def counted(*args: Any, **kwargs: Any) -> None:
            start = time.monotonic()
            with _limited(LONGEST_CASE):
                is_accepted = test(*args, **kwargs)
            counts = COUNTS.setdefault(family, [0, 0, 0.0])
            counts[0 if is_accepted else 1] += 1
            counts[2] += time.monotonic() - start

        return counted

    return decorate


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(10 * seconds, exit=True)  # a loop outside Python gets no signal
    try:
        yield
    except Hangs:
        raise AssertionError(f"took more than {seconds} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
