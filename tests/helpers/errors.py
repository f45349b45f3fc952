"""Errors whose message must name several things."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def raises_naming(error: type[Exception], *parts: str) -> Iterator[None]:
    """Expect an error whose message is one line and contains all ``parts``."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert "\n" not in message
