"""What a zoo knows: entries, tags and where their rows are, in one SQLite file.

SQLite keeps transactions whole and guards against torn writes, but not against flipped bits: every
row carries a checksum over its own columns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_intdigest

from pyattrx.errors import EntryGoneError, ZooDamagedError, ZooError
from pyattrx.storage.connection import Connection
from pyattrx.storage.segments import Record

__all__ = ["ROWS", "SKETCH", "SUMMARY", "Catalog", "EntryRow", "Located"]

# Kinds of records; what a feature method keeps has one for each of its arrays, from SUMMARY on.
ROWS, SKETCH, SUMMARY = 0, 1, 2

_APPLICATION = 0x70796174
_FORMAT = 2
_AT_ONCE = 500  # host parameters of one statement

_SCHEMA = """
CREATE TABLE meta (
  key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE methods (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, definition TEXT NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE segments (id INTEGER PRIMARY KEY);  -- those that were ever written to
CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
  key BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
  created TEXT NOT NULL, facts TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE tags (
  tag TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (tag, entry)) WITHOUT ROWID;
CREATE INDEX tags_of_entry ON tags(entry);
CREATE TABLE records (
  entry INTEGER NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
  method INTEGER NOT NULL, kind INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, rows INTEGER NOT NULL, width INTEGER NOT NULL,
  dtype TEXT NOT NULL, identity INTEGER NOT NULL, content INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (entry, method, kind, first)) WITHOUT ROWID;
"""
_RECORD_COLUMNS = (
    "entry, method, kind, first, count, segment, offset, rows, width, dtype, identity, content, "
    "checksum"
)


@dataclass(frozen=True)
class EntryRow:
    """An entry as it is stored."""

    key: bytes
    name: str
    fingerprint: str
    created: str
    facts: dict[str, Any]
    id: int = 0


@dataclass(frozen=True)
class Located:
    """A record of an entry, and the probes that it covers."""

    kind: int
    method: int
    first: int
    count: int
    record: Record
    entry: int = 0


class Catalog:
    """The SQLite file of a zoo.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    n_probes : int
        Records of later probes, which wait for all networks to have them, are not seen.

    Raises
    ------
    ZooError
        It cannot be opened.
    ZooDamagedError
        It is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = Connection(path, self._check)
        self._counted: tuple[tuple[int, int, int], int] | None = None
        self.n_probes = 1 << 62

    @property
    def writable(self) -> bool:
        """Whether one may write."""
        return self._file.writable

    @classmethod
    def create(cls, path: Path, meta: dict[str, Any], methods: Sequence[tuple[str, str]]) -> None:
        """Write a new catalog: what is true of the whole zoo, and (name, definition) of methods."""
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={_FORMAT}")
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            connection.execute("BEGIN")
            for key, value in meta.items():
                connection.execute("INSERT INTO meta VALUES (?, ?, ?)", _meta_row(key, value))
            connection.executemany(
                "INSERT INTO methods VALUES (?, ?, ?, ?)",
                [
                    (number, name, definition, _checksum((number, name, definition)))
                    for number, (name, definition) in enumerate(methods, 1)
                ],
            )
            connection.execute("COMMIT")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # Reading

    def meta(self, key: str, default: Any = None) -> Any:
        """A fact about the whole zoo; an error where there is none and no default."""
        rows = self._file.query("SELECT value, checksum FROM meta WHERE key = ?", (key,))
        if not rows and default is not None:
            return default
        if rows and _checksum((key, rows[0][0])) != rows[0][1]:
            raise ZooDamagedError(f"{self._path}: damaged: what it says of {key!r}")
        if not rows:
            raise ZooDamagedError(f"{self._path}: it does not say {key!r}")
        return json.loads(rows[0][0])

    def methods(self) -> list[tuple[int, str, dict[str, Any]]]:
        """(id, name, definition) of every method, in the order in which they were given."""
        rows = self._file.query("SELECT id, name, definition, checksum FROM methods ORDER BY id")
        for *columns, checksum in rows:
            if _checksum(columns) != checksum:
                raise ZooDamagedError(
                    f"{self._path}: damaged: the definition of method {columns[1]!r}"
                )
        return [(number, name, json.loads(definition)) for number, name, definition, _ in rows]

    def count(self) -> int:
        """Number of entries."""
        # SQLite counts by walking through the table: not for every query of a large zoo.
        state = self._file.state()
        if self._counted is None or self._counted[0] != state:
            (count,) = self._file.query("SELECT count(*) FROM entries")[0]
            self._counted = (state, int(count))
        return self._counted[1]

    def names(self) -> list[str]:
        """Names in the order in which entries were added."""
        return [name for (name,) in self._file.query("SELECT name FROM entries ORDER BY id")]

    def ids(self, tags: Sequence[str] = (), after: int = 0) -> list[int]:
        """Numbers, beyond one, of the entries that have all of some tags, rising."""
        if not tags:
            rows = self._file.query("SELECT id FROM entries WHERE id > ? ORDER BY id", (after,))
        else:
            parts = ["SELECT entry FROM tags WHERE tag = ?"] * len(tags)
            query = " INTERSECT ".join(parts) + " ORDER BY entry"
            rows = self._file.query(query, tuple(tags))
        return [number for (number,) in rows if number > after]

    def last_id(self) -> int:
        """Number of the newest entry that there is; 0 where there is none."""
        return int(self._file.query("SELECT ifnull(max(id), 0) FROM entries")[0][0])

    def last_id_ever(self) -> int:
        """Number of the newest entry that there ever was."""
        rows = self._file.query("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        return int(rows[0][0]) if rows else 0

    def keys_of(self, ids: Sequence[int]) -> dict[int, str]:
        """Random keys, in hexadecimal, of those of some entries that are (still) there."""
        rows = self._of("SELECT id, key FROM entries WHERE id IN ({})", ids)
        return {number: bytes(key).hex() for number, key in rows}

    def names_of(self, ids: Sequence[int]) -> dict[int, str]:
        """Names of those of some entries that are (still) there."""
        return dict(self._of("SELECT id, name FROM entries WHERE id IN ({})", ids))

    def id_of(self, name: str) -> int | None:
        """Number of an entry; None where there is no such name."""
        rows = self._file.query("SELECT id FROM entries WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None

    def entry(self, number: int) -> EntryRow:
        """Read an entry and compare its checksum.

        Raises
        ------
        ZooDamagedError
            The message has the entry's name.
        EntryGoneError
            It is not there (any more).
        """
        rows = self._file.query(
            "SELECT key, name, fingerprint, created, facts, checksum, id FROM entries WHERE id = ?",
            (number,),
        )
        if not rows:
            raise EntryGoneError(f"{self._path}: there is no entry {number} (any more)")
        *columns, checksum, number = rows[0]
        if _entry_checksum(*columns) != checksum:
            raise ZooDamagedError(f"entry {columns[1]!r}: its description is damaged")
        key, name, fingerprint, created, facts = columns
        return EntryRow(key, name, fingerprint, created, json.loads(facts), number)

    def tags_of(self, number: int) -> tuple[str, ...]:
        """Tags of an entry, sorted."""
        rows = self._file.query("SELECT tag FROM tags WHERE entry = ? ORDER BY tag", (number,))
        return tuple(tag for (tag,) in rows)

    def tags(self) -> dict[str, int]:
        """All tags and how many entries have them."""
        return dict(self._file.query("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag"))

    def records(self, ids: Sequence[int], method: int, kind: int) -> dict[int, list[Located]]:
        """Records of some entries, by entry, in the order of their probes.

        An entry whose records are damaged has an empty list.
        """
        query = (
            f"SELECT {_RECORD_COLUMNS} FROM records WHERE method = {int(method)} "
            f"AND kind = {int(kind)} AND first < {self.n_probes} "
            "AND entry IN ({}) ORDER BY entry, first"
        )
        found: dict[int, list[Located]] = {}
        damaged: set[int] = set()
        for row in self._of(query, ids):
            located = _located(row)
            if located is None:
                damaged.add(row[0])
            else:
                found.setdefault(located.entry, []).append(located)
        return found | {number: [] for number in damaged}

    def any_record(self, method: int, kind: int) -> Located | None:
        """Some record that is not damaged; None where there is none."""
        query = f"SELECT {_RECORD_COLUMNS} FROM records WHERE method = ? AND kind = ? LIMIT 8"
        for row in self._file.query(query, (method, kind)):
            if located := _located(row):
                return located
        return None

    def all_records(self, number: int) -> list[Located | None]:
        """All records of an entry; None for those that are damaged."""
        query = (
            f"SELECT {_RECORD_COLUMNS} FROM records WHERE entry = ? AND first < ? "
            "ORDER BY method, kind, first"
        )
        return [_located(row) for row in self._file.query(query, (number, self.n_probes))]

    def entries_at(self, first: int, kind: int) -> dict[int, int]:
        """How many records of a kind that begin at a probe the entries have that have any."""
        query = "SELECT entry, count(*) FROM records WHERE first = ? AND kind = ? GROUP BY entry"
        return dict(self._file.query(query, (first, kind)))

    def segments(self) -> list[int]:
        """Segments that were ever written to, rising."""
        return [number for (number,) in self._file.query("SELECT id FROM segments ORDER BY id")]

    def check(self) -> list[str]:
        """Say what is wrong with the file as a whole, and with tags and facts about the zoo."""
        rows = self._file.query("PRAGMA integrity_check(20)")
        found = [text for (text,) in rows if text != "ok"]
        for table, columns in (("meta", "key, value"), ("tags", "tag, entry")):
            for *values, checksum in self._file.query(f"SELECT {columns}, checksum FROM {table}"):
                if _checksum(values) != checksum:
                    found.append(f"{table}: {values[0]!r} is damaged")
        return found

    # Writing: by whoever holds the zoo's lock

    def transaction(self) -> AbstractContextManager[None]:
        """Do all that is written inside, durably, or nothing."""
        return self._file.transaction()

    def add(self, entry: EntryRow, tags: Iterable[str], records: Iterable[Located]) -> int:
        """Insert an entry with its records; within a transaction."""
        facts = json.dumps(entry.facts)
        columns = (entry.key, entry.name, entry.fingerprint, entry.created, facts)
        number = self._file.write(
            "INSERT INTO entries (key, name, fingerprint, created, facts, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*columns, _entry_checksum(*columns)),
        )
        assert number is not None
        self.tag(number, tags)
        self.add_records(number, records)
        return number

    def add_records(self, number: int, records: Iterable[Located]) -> None:
        """Insert records of an entry; within a transaction."""
        for at in records:
            r = at.record
            columns = (
                *(number, at.method, at.kind, at.first, at.count, r.segment, r.offset, r.rows),
                *(r.width, r.dtype, _signed(r.identity), _signed(r.checksum)),
            )
            self._file.write(
                f"INSERT INTO records ({_RECORD_COLUMNS}) VALUES ({', '.join('?' * 13)})",
                (*columns, _checksum(columns)),
            )

    def note_segment(self, segment: int) -> None:
        """Say that a segment is used; within a transaction."""
        self._file.write("INSERT OR IGNORE INTO segments VALUES (?)", (segment,))

    def set_meta(self, key: str, value: Any) -> None:
        """Change a fact about the whole zoo; within a transaction."""
        self._file.write("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", _meta_row(key, value))

    def unset_meta(self, prefix: str) -> None:
        """Forget the facts whose keys begin like this; within a transaction."""
        self._file.write("DELETE FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))

    def set_facts(self, entry: EntryRow, facts: dict[str, Any]) -> None:
        """Change what is known about an entry; within a transaction."""
        text = json.dumps(facts)
        checksum = _entry_checksum(entry.key, entry.name, entry.fingerprint, entry.created, text)
        self._file.write(
            "UPDATE entries SET facts = ?, checksum = ? WHERE id = ?", (text, checksum, entry.id)
        )

    def remove_summaries(self, before: int) -> None:
        """Delete what feature methods kept of fewer probes; within a transaction."""
        self._file.write("DELETE FROM records WHERE kind >= ? AND first < ?", (SUMMARY, before))

    def remove_records(self, first: int) -> None:
        """Delete the records of all entries from a probe on; within a transaction."""
        self._file.write("DELETE FROM records WHERE first >= ?", (first,))

    def remove(self, number: int) -> None:
        """Delete an entry with its tags and records; within a transaction."""
        self._file.write("DELETE FROM entries WHERE id = ?", (number,))

    def tag(self, number: int, tags: Iterable[str]) -> None:
        """Add tags to an entry; within a transaction."""
        self._file.write_many(
            "INSERT OR IGNORE INTO tags VALUES (?, ?, ?)",
            [(tag, number, _checksum((tag, number))) for tag in tags],
        )

    def untag(self, number: int, tags: Iterable[str]) -> None:
        """Take tags from an entry; within a transaction."""
        self._file.write_many(
            "DELETE FROM tags WHERE tag = ? AND entry = ?", [(tag, number) for tag in tags]
        )

    def _of(self, query: str, ids: Sequence[int]) -> Iterator[Any]:
        for start in range(0, len(ids), _AT_ONCE):
            some = [int(number) for number in ids[start : start + _AT_ONCE]]
            yield from self._file.query(query.format(", ".join("?" * len(some))), some)

    def _check(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise ZooDamagedError(f"{self._path}: not a zoo's catalog, or damaged")
        if version != _FORMAT:
            raise ZooError(f"{self._path}: format {version}; this release reads format {_FORMAT}")
        connection.execute("SELECT count(*) FROM meta").fetchone()


def _located(row: Sequence[Any]) -> Located | None:
    *columns, checksum = row
    if _checksum(columns) != checksum:
        return None
    entry, method, kind, first, count, segment, offset, rows, width, dtype, identity, content = (
        columns
    )
    record = Record(segment, offset, rows, width, dtype, identity & _UNSIGNED, content & _UNSIGNED)
    return Located(kind, method, first, count, record, entry)


_UNSIGNED = (1 << 64) - 1


def _entry_checksum(key: bytes, name: str, fingerprint: str, created: str, facts: str) -> int:
    return _checksum((bytes(key).hex(), name, fingerprint, created, facts))


def _checksum(columns: Iterable[Any]) -> int:
    return _signed(xxh3_64_intdigest("\0".join(map(str, columns)).encode()))


def _meta_row(key: str, value: Any) -> tuple[str, str, int]:
    text = json.dumps(value)
    return key, text, _checksum((key, text))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
