"""Candidates on growing parts of the images: who is beaten for certain is not run on the rest.

Here is who stays in a race; `heats` says what is run and ranked in its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyattrx.features import Features
from pyattrx.recommending.ordering import Order
from pyattrx.tasks import Task

__all__ = ["Dropped", "Race", "part_sizes", "race"]

# From fewer images on, standard errors are too small, and equal candidates leave too often. Of
# eight equal ones, by `ridge_loo`: in two classes, at an error of .01, each left 2.5 % of the races
# that began with 32 images, .8 % with 64; in eight classes, at .1, 12 % with 3 images a class, 4 %
# with 6. Races that began with more saved as much, within 1 % of the passes.
_FIRST = 64
_FIRST_A_CLASS = 6
_MARGIN = 0.1  # standard deviations: who is nearly as good stays


@dataclass(frozen=True)
class Dropped:
    """A candidate that was beaten for certain.

    Attributes
    ----------
    name : str
    images : int
        After how many.
    by : str
        Who was best then.
    value : float
        What it was ranked by then; it compares with others on as many images only.
    """

    name: str
    images: int
    by: str
    value: float


@dataclass(eq=False)
class Race:
    """How far a race came.

    Attributes
    ----------
    task : Task
        The images that those who are left have seen.
    read : list of Features
        Of those who are left, on these images.
    candidates : int
        How many there were at the start.
    dropped : list of Dropped
        Last ones first.
    passes : int
        Images that were run, over all candidates, or came out of the cache.
    interrupted : bool
        Whether somebody stopped it.
    """

    task: Task
    read: list[Features]
    candidates: int
    dropped: list[Dropped] = field(default_factory=list)
    passes: int = 0
    interrupted: bool = False


def part_sizes(images: int, classes: int) -> list[int]:
    """Images of each round: enough of every class, then twice as many each time.

    Examples
    --------
    >>> from pyattrx.recommending.racing import part_sizes
    >>> part_sizes(500, 4), part_sizes(60, 10)
    ([64, 128, 256, 500], [60])
    """
    size = max(_FIRST, _FIRST_A_CLASS * classes)
    sizes = []
    # A last part that is hardly larger than the one before would be a test for nothing.
    while size * 1.5 <= images:
        sizes.append(size)
        size *= 2
    return [*sizes, images]


def race(
    task: Task,
    read: Callable[[Task, Sequence[str] | None], list[Features]],
    rank: Callable[[Task, Sequence[Features]], tuple[list[str], Order | None]],
    *,
    error: float,
    seed: int = 0,
) -> Race:
    """Run a race.

    Parameters
    ----------
    task : Task
        With labels.
    read : callable
        ``read(part, names)`` returns the features of these candidates, or of all, on some images.
    rank : callable
        ``rank(part, features)`` returns the names of those that can be ranked, and their order.
    error : float
        How probable it may be that the best one is dropped.
    seed : int
        Of the order of the images.

    Returns
    -------
    Race

    Raises
    ------
    KeyboardInterrupt
        Before the first round was over; later what is known by then is returned.

    Notes
    -----
    A candidate is dropped where the paired test says that it is behind another by more than a tenth
    of the candidates' standard deviation, one-sided, at ``error / (rounds (candidates - 1))``: by
    Bonferroni the best one is dropped in any round, by any rival, with no more than that
    probability in all. The best one is that by the score that a probe has on so many images; with
    more it may be another, which no test on few can know.

    A consensus beside the score is that of all candidates on the first part, to the end: among
    fewer candidates it would be another one. Its error, by a jackknife over these images, is part
    of every test. Only its weight in units of the score, told from the first round, is taken as
    known.
    """
    sizes = part_sizes(len(task), len(task.classes or ()))
    part = task if len(sizes) == 1 else task.subsample(sizes[0], seed=seed)
    found = read(part, None)
    state = Race(part, found, len(found), passes=len(found) * len(part))
    rounds, rivals = max(len(sizes) - 1, 1), max(len(found) - 1, 1)
    for size in sizes[1:]:
        _drop(state, *rank(state.task, state.read), error / (rounds * rivals))
        part = task if size == len(task) else task.subsample(size, seed=seed)
        try:
            found = read(part, [one.name for one in state.read])
        except KeyboardInterrupt:
            state.interrupted = True
            return state
        state.passes += len(found) * (len(part) - len(state.task))
        state.task, state.read = part, found
    return state


def _drop(state: Race, names: list[str], found: Order | None, error: float) -> None:
    """Drop those whom the best of a round beats for certain."""
    if found is None:
        return
    best = names[int(found.values.argmax())]
    gone = [
        Dropped(name, len(state.task), best, float(value))
        for name, value, p in zip(names, found.values, found.clearly_behind(_MARGIN), strict=True)
        if p < error
    ]
    gone.sort(key=lambda one: -one.value)
    state.dropped = gone + state.dropped
    lost = {one.name for one in gone}
    state.read = [one for one in state.read if one.name not in lost]
