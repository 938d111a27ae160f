"""Which images stand for all, when fewer are wanted."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyattrx.photos import seeded_hash

__all__ = ["Drawn", "at_most", "draw", "of_every_class"]


@dataclass(frozen=True)
class Drawn:
    """One group of the draw.

    Attributes
    ----------
    images : list of int
        In the order in which they were given.
    level : int or None
        Images that the class which asked for this group had before; None: nobody asked for it, as
        none of its images has a label.
    """

    images: list[int]
    level: int | None


def draw(
    names: Sequence[str],
    groups: Sequence[Hashable],
    strata: Sequence[tuple[str, ...]],
    seed: int,
    among: Iterable[int] | None = None,
) -> Iterator[Drawn]:
    """Put groups in an order of which every first part is spread evenly over the classes.

    The class with the fewest images so far takes the next of its groups. Groups, and classes with
    equally many images, are ranked by a hash of the seed and their names: nothing else decides, and
    what is drawn from a first part is what would have been drawn from all. Groups without a label
    come last.

    Parameters
    ----------
    names, groups, strata : sequence [N]
        Of every image its name, its group, and the classes that it counts for.
    seed : int
    among : iterable of int, optional
        Only these images.
    """
    members: dict[Hashable, list[int]] = {}
    for index in range(len(names)) if among is None else among:
        members.setdefault(groups[index], []).append(index)
    # By its first name: the more images a group has, the more often the least of hashes is its.
    ranked = sorted(
        (seeded_hash(seed, "draw", min(names[index] for index in images)), images[0], images)
        for images in members.values()
    )
    queues: dict[str, list[int]] = {}  # numbers of groups, the next one last
    for number in reversed(range(len(ranked))):
        for name in {name for index in ranked[number][2] for name in strata[index]}:
            queues.setdefault(name, []).append(number)
    counts = dict.fromkeys(queues, 0)
    ranks = {name: seeded_hash(seed, "class", name) for name in queues}
    waiting = [(0, ranks[name], name) for name in queues]
    heapq.heapify(waiting)
    taken = [False] * len(ranked)
    while waiting:
        level, rank, name = heapq.heappop(waiting)
        if level < counts[name]:  # another class's group brought it some
            heapq.heappush(waiting, (counts[name], rank, name))
            continue
        queue = queues[name]
        while queue and taken[queue[-1]]:
            queue.pop()
        if not queue:
            continue
        number = queue.pop()
        taken[number] = True
        images = ranked[number][2]
        for index in images:
            for other in strata[index]:
                counts[other] += 1
        heapq.heappush(waiting, (counts[name], rank, name))
        yield Drawn(images, level)
    for number, (_, _, images) in enumerate(ranked):
        if not taken[number]:
            yield Drawn(images, None)


def at_most(drawn: Iterable[Drawn], most: int) -> list[int]:
    """Return the images of as many whole groups as there is room for, and no group after one."""
    chosen: list[int] = []
    for group in drawn:
        if len(chosen) + len(group.images) > most:
            break
        chosen += group.images
    return chosen


def of_every_class(drawn: Iterable[Drawn], least: int) -> list[int]:
    """Return so many labelled images of every class, or all where it has fewer."""
    chosen: list[int] = []
    for group in drawn:
        if group.level is None or group.level >= least:
            break
        chosen += group.images
    return chosen
