"""What a zoo knows: entries, tags and where their rows are, in one SQLite file.

SQLite keeps transactions whole and guards against torn writes, but not against flipped bits: every
entry and every record carries a checksum over its own columns.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from xxhash import xxh3_64_intdigest

from pyattrx.errors import ZooDamaged, ZooError
from pyattrx.zoo.segments import Record

__all__ = ["ROWS", "SKETCH", "SUMMARY", "Catalog", "EntryRow", "Located"]

# Kinds of records; what a feature method keeps has one for each of its arrays, from SUMMARY on.
ROWS, SKETCH, SUMMARY = 0, 1, 2

_APPLICATION = 0x70796174
_FORMAT = 1
_BUSY_S = 30.0
_AT_ONCE = 500  # host parameters of one statement

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE methods (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, definition TEXT NOT NULL);
CREATE TABLE segments (id INTEGER PRIMARY KEY, length INTEGER NOT NULL);
CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
  key BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
  created TEXT NOT NULL, facts TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE tags (
  tag TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
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
    ZooDamaged
        It is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._counted: tuple[tuple[int, int], int] | None = None
        self.n_probes = 1 << 62
        self.writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with self._translated():
            self._connection = self._connect()

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
                connection.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value)))
            connection.executemany("INSERT INTO methods (name, definition) VALUES (?, ?)", methods)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._translated():
            self._connection.close()
            if self._copy is not None:
                self._copy.cleanup()

    # Reading

    def meta(self, key: str, default: Any = None) -> Any:
        """A fact about the whole zoo; an error where there is none and no default."""
        rows = self._query("SELECT value FROM meta WHERE key = ?", (key,))
        if not rows and default is not None:
            return default
        if not rows:
            raise ZooDamaged(f"{self._path}: it does not say {key!r}")
        return json.loads(rows[0][0])

    def methods(self) -> list[tuple[int, str, dict[str, Any]]]:
        """(id, name, definition) of every method, in the order in which they were given."""
        rows = self._query("SELECT id, name, definition FROM methods ORDER BY id")
        return [(number, name, json.loads(definition)) for number, name, definition in rows]

    def count(self) -> int:
        """Number of entries."""
        # SQLite counts by walking through the table: not for every query of a large zoo.
        with self._lock:
            (theirs,) = self._query("PRAGMA data_version")[0]
            state = (int(theirs), self._connection.total_changes)
            if self._counted is None or self._counted[0] != state:
                (count,) = self._query("SELECT count(*) FROM entries")[0]
                self._counted = (state, int(count))
            return self._counted[1]

    def names(self) -> list[str]:
        """Names in the order in which entries were added."""
        return [name for (name,) in self._query("SELECT name FROM entries ORDER BY id")]

    def ids(self, tags: Sequence[str] = (), after: int = 0) -> list[int]:
        """Numbers, beyond one, of the entries that have all of some tags, rising."""
        if not tags:
            rows = self._query("SELECT id FROM entries WHERE id > ? ORDER BY id", (after,))
        else:
            parts = ["SELECT entry FROM tags WHERE tag = ?"] * len(tags)
            query = " INTERSECT ".join(parts) + " ORDER BY entry"
            rows = self._query(query, tuple(tags))
        return [number for (number,) in rows if number > after]

    def last_id(self) -> int:
        """Number of the newest entry that there is; 0 where there is none."""
        return int(self._query("SELECT ifnull(max(id), 0) FROM entries")[0][0])

    def last_id_ever(self) -> int:
        """Number of the newest entry that there ever was."""
        rows = self._query("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        return int(rows[0][0]) if rows else 0

    def names_of(self, ids: Sequence[int]) -> dict[int, str]:
        """Names of those of some entries that are (still) there."""
        return dict(self._of("SELECT id, name FROM entries WHERE id IN ({})", ids))

    def id_of(self, name: str) -> int | None:
        """Number of an entry; None where there is no such name."""
        rows = self._query("SELECT id FROM entries WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None

    def entry(self, number: int) -> EntryRow:
        """Read an entry and compare its checksum.

        Raises
        ------
        ZooDamaged
            The message has the entry's name.
        """
        rows = self._query(
            "SELECT key, name, fingerprint, created, facts, checksum, id FROM entries WHERE id = ?",
            (number,),
        )
        if not rows:
            raise ZooError(f"{self._path}: there is no entry {number}")
        *columns, checksum, number = rows[0]
        if _entry_checksum(*columns) != checksum:
            raise ZooDamaged(f"entry {columns[1]!r}: its description is damaged")
        key, name, fingerprint, created, facts = columns
        return EntryRow(key, name, fingerprint, created, json.loads(facts), number)

    def tags_of(self, number: int) -> tuple[str, ...]:
        """Tags of an entry, sorted."""
        rows = self._query("SELECT tag FROM tags WHERE entry = ? ORDER BY tag", (number,))
        return tuple(tag for (tag,) in rows)

    def tags(self) -> dict[str, int]:
        """All tags and how many entries have them."""
        return dict(self._query("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag"))

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
        for row in self._query(query, (method, kind)):
            if located := _located(row):
                return located
        return None

    def all_records(self, number: int) -> list[Located | None]:
        """All records of an entry; None for those that are damaged."""
        query = (
            f"SELECT {_RECORD_COLUMNS} FROM records WHERE entry = ? AND first < ? "
            "ORDER BY method, kind, first"
        )
        return [_located(row) for row in self._query(query, (number, self.n_probes))]

    def entries_at(self, first: int, kind: int) -> dict[int, int]:
        """How many records of a kind that begin at a probe the entries have that have any."""
        query = "SELECT entry, count(*) FROM records WHERE first = ? AND kind = ? GROUP BY entry"
        return dict(self._query(query, (first, kind)))

    def segments(self) -> dict[int, int]:
        """Committed bytes of every segment."""
        return dict(self._query("SELECT id, length FROM segments ORDER BY id"))

    def check(self) -> list[str]:
        """Ask SQLite what is wrong with the file."""
        rows = self._query("PRAGMA integrity_check(20)")
        return [text for (text,) in rows if text != "ok"]

    # Writing: by whoever holds the zoo's lock

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is written inside, durably, or nothing."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def add(self, entry: EntryRow, tags: Iterable[str], records: Iterable[Located]) -> int:
        """Insert an entry with its records; within a transaction."""
        facts = json.dumps(entry.facts)
        columns = (entry.key, entry.name, entry.fingerprint, entry.created, facts)
        cursor = self._connection.execute(
            "INSERT INTO entries (key, name, fingerprint, created, facts, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*columns, _entry_checksum(*columns)),
        )
        number = cursor.lastrowid
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
            self._connection.execute(
                f"INSERT INTO records ({_RECORD_COLUMNS}) VALUES ({', '.join('?' * 13)})",
                (*columns, _checksum(columns)),
            )

    def set_length(self, segment: int, length: int) -> None:
        """Say how many bytes of a segment count; within a transaction."""
        self._connection.execute("INSERT OR REPLACE INTO segments VALUES (?, ?)", (segment, length))

    def set_meta(self, key: str, value: Any) -> None:
        """Change a fact about the whole zoo; within a transaction."""
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value))
        )

    def unset_meta(self, prefix: str) -> None:
        """Forget the facts whose keys begin like this; within a transaction."""
        self._connection.execute(
            "DELETE FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )

    def set_facts(self, entry: EntryRow, facts: dict[str, Any]) -> None:
        """Change what is known about an entry; within a transaction."""
        text = json.dumps(facts)
        checksum = _entry_checksum(entry.key, entry.name, entry.fingerprint, entry.created, text)
        self._connection.execute(
            "UPDATE entries SET facts = ?, checksum = ? WHERE id = ?", (text, checksum, entry.id)
        )

    def remove_summaries(self, before: int) -> None:
        """Delete what feature methods kept of fewer probes; within a transaction."""
        self._connection.execute(
            "DELETE FROM records WHERE kind >= ? AND first < ?", (SUMMARY, before)
        )

    def remove_records(self, first: int) -> None:
        """Delete the records of all entries from a probe on; within a transaction."""
        self._connection.execute("DELETE FROM records WHERE first >= ?", (first,))

    def remove(self, number: int) -> None:
        """Delete an entry with its tags and records; within a transaction."""
        self._connection.execute("DELETE FROM entries WHERE id = ?", (number,))

    def tag(self, number: int, tags: Iterable[str]) -> None:
        """Add tags to an entry; within a transaction."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, number) for tag in tags]
        )

    def untag(self, number: int, tags: Iterable[str]) -> None:
        """Take tags from an entry; within a transaction."""
        self._connection.executemany(
            "DELETE FROM tags WHERE tag = ? AND entry = ?", [(tag, number) for tag in tags]
        )

    # The connection

    def _query(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._translated():
            if self._pid != os.getpid():  # a connection must not be carried into a child
                self._connection = self._connect()
                self._counted = None
                self._pid = os.getpid()
            return self._connection.execute(query, values).fetchall()

    def _of(self, query: str, ids: Sequence[int]) -> Iterator[Any]:
        for start in range(0, len(ids), _AT_ONCE):
            some = [int(number) for number in ids[start : start + _AT_ONCE]]
            yield from self._query(query.format(", ".join("?" * len(some))), some)

    def _connect(self) -> sqlite3.Connection:
        path = self._path
        if not path.is_file():
            raise ZooError(f"{path.parent}: there is no zoo here")
        if self.writable:
            return self._checked(self._connection_to(path, "mode=rw"))
        # A reader of a WAL database wants to write to its folder.
        log = path.with_name(path.name + "-wal")
        if not log.exists() or log.stat().st_size == 0:
            return self._checked(self._connection_to(path, "mode=ro&immutable=1"))
        try:
            return self._checked(self._connection_to(path, "mode=ro"))
        except sqlite3.OperationalError:  # what is in the log is read from a copy
            self._copy = tempfile.TemporaryDirectory(prefix="pyattrx-catalog-")
            weakref.finalize(self, self._copy.cleanup)
            copied = Path(self._copy.name, path.name)
            shutil.copyfile(path, copied)
            shutil.copyfile(log, Path(self._copy.name, log.name))
            return self._checked(self._connection_to(copied, "mode=rw"))

    @staticmethod
    def _connection_to(path: Path, how: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?{how}",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_S,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _checked(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise ZooDamaged(f"{self._path}: not a zoo's catalog, or damaged")
        if version != _FORMAT:
            raise ZooError(f"{self._path}: format {version}; this release reads format {_FORMAT}")
        connection.execute("SELECT count(*) FROM meta").fetchone()
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ZooError(f"{self._path.parent}: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ZooDamaged(f"{self._path}: damaged ({error})") from error


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


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
