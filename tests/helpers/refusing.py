"""Check the message of an expected error."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refusing(error: type[Exception], *words: str) -> Iterator[None]:
    """Expect an error whose message contains all ``words``."""
    with pytest.raises(error) as caught:
        yield
    for word in words:
        assert word in str(caught.value)
