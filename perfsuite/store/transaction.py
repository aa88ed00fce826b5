"""One transaction that writes, run again where PostgreSQL undid it because of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from perfsuite.store.engine import writing
from perfsuite.store.failures import retryable, told

T = TypeVar("T")
_ATTEMPTS = 5
"""Each attempt leaves one of the transactions that stand in each other's way done."""


def transact(engine: Engine, label: str, work: Callable[[Connection], T]) -> T:
    """Does the work whole or not at all, and returns what it returns.

    Args:
        label: the database for people, without its password.
        work: may be called more than once.

    Raises:
        StoreUnwritable: the database cannot be written to.
        StoreError: it cannot be used, or what the work raises.
    """
    with told(label):
        attempt = 1
        while True:
            try:
                with writing(engine).begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if attempt == _ATTEMPTS or not retryable(error):
                    raise
            attempt += 1
