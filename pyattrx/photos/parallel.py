"""Work done ahead in threads, without letting it run away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ordered_map(
    function: Callable[[_In], _Out],
    items: Iterable[_In],
    workers: int,
    ahead: int,
    *,
    wait: bool = False,
) -> Generator[_Out, None, None]:
    """Yield function(item) in the order of the items, working at most `ahead` items ahead.

    When the consumer stops early, raises or is interrupted, what has not begun is dropped and the
    threads end with the item that they are at; nobody waits for them unless `wait` says so. Without
    workers the caller's thread does the work, when it is asked for.
    """
    if not workers:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pyattrx-probes")
    pending: deque[Future[_Out]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)
