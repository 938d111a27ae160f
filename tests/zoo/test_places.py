"""Where a zoo can be, what happens to a creator that fails or dies, and whose files are touched."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from zoo.conftest import encoder

import pyattrx
from pyattrx import Probes, Zoo
from pyattrx.errors import InvalidTypeError, InvalidValueError, ZooError, ZooLockedError
from pyattrx.storage.catalog import Catalog

PARTS = ["images.probes", "rows", "zoo.sqlite"]


def listed(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def used(path, probes):
    """Make a zoo, and use it from beginning to end."""
    with Zoo.create(path, probes, "saliency") as zoo:
        assert [name for name in listed(path) if "zoo.sqlite-" not in name] == PARTS
        zoo.add_many([encoder(seed) for seed in range(3)])
    with Zoo.open(path) as zoo:
        assert len(zoo.query("net0", k=2)) == 2
        assert zoo.verify().ok
        return zoo.affinity().values


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Paths of empty folders, of several kinds."""
    for name in ("here", "there", "far", "name of its own"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "far link").symlink_to(tmp_path / "second link")
    (tmp_path / "second link").symlink_to("far")
    monkeypatch.chdir(tmp_path / "here")
    return [Path("."), tmp_path / "link", Path("../far link"), "../here/../name of its own/"]


def test_empty_folders_of_all_kinds(places, probes, tmp_path):
    values = [used(path, probes) for path in [*places, tmp_path / "new"]]
    assert all((other == values[0]).all() for other in values)
    assert (tmp_path / "link").is_symlink()
    assert set(PARTS) < set(listed(tmp_path / "there")) & set(listed(tmp_path / "far"))
    for path in places:
        with pytest.raises(InvalidValueError, match="there is a zoo already"):
            Zoo.create(path, probes)


@pytest.mark.parametrize(
    "name",
    [
        "caf\udce9",
        "\udcff\udcfe",
        "100 %",
        "a?mode=ro",
        "a#b",
        "ü:x",
        "[0-9]*",
        "new\nline",
        "x" * 255,
    ],
)
def test_names_of_all_kinds(name, tmp_path, probes):
    """Bytes that are no UTF-8, what means something in a URI or a pattern, the longest ones."""
    used(tmp_path / name, probes)
    (tmp_path / "in" / name).mkdir(parents=True)
    used(tmp_path / "in" / name, probes)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with Zoo.open(tmp_path / "elsewhere") as zoo:
        assert zoo.verify().ok
        zoo.add(encoder(7))
        assert zoo.query("net7", k=1)
        with Zoo.create(tmp_path / name, probes, "saliency") as other:
            assert len(other.merge(tmp_path / "elsewhere").added) == 4
            more = torch.cat([probes.images(), torch.rand(2, 3, 14, 14)])
            more = Probes.from_tensor(more, groups=[*probes.groups.tolist(), 90, 91])
            nets = [encoder(seed) for seed in (0, 1, 2, 7)]
            assert not other.add_probes(more, encoders=nets).failed
            assert other.verify().ok


def test_a_folder_that_cannot_be_replaced(tmp_path, probes, monkeypatch):
    """As the system says of mount points; a new file system has a folder of its own in it."""
    folder = tmp_path / "disk"
    (folder / "lost+found").mkdir(parents=True)
    with pytest.raises(InvalidValueError, match="something else already"):
        Zoo.create(folder, probes)
    rename, ismount = os.rename, os.path.ismount

    def busy(source, target):
        if os.path.realpath(target) == str(folder):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        assert Path(source).parent.parent == folder  # on the same disk
        rename(source, target)

    monkeypatch.setattr(os, "rename", busy)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder or ismount(path))
    Zoo.create(folder, probes).close()
    assert listed(folder) == ["images.probes", "lost+found", "rows", "zoo.sqlite"]


def test_a_mount_point(tmp_path):
    """A real one, where the system lets us."""
    script = (
        "mount -t tmpfs none disk && cd disk && exec "
        f"{sys.executable} -c 'import torch, pyattrx;"
        'pyattrx.Zoo.create(".", pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8))).close();'
        'print(pyattrx.Zoo.open("../disk").verify().ok)\''
    )
    (tmp_path / "disk").mkdir()
    trial = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none disk"]
    try:
        allowed = subprocess.run(trial, cwd=tmp_path, capture_output=True, check=False)
    except OSError:
        pytest.skip("no unshare")
    if allowed.returncode:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_folder_in_one_that_nobody_may_write_to(tmp_path, probes):
    if os.geteuid() == 0:
        pytest.skip("the superuser may")
    (tmp_path / "top" / "zoo").mkdir(parents=True)
    (tmp_path / "top").chmod(0o555)
    try:
        used(tmp_path / "top" / "zoo", probes)
        with pytest.raises(ZooError, match="new: cannot be made: Permission denied"):
            Zoo.create(tmp_path / "top" / "new", probes)
    finally:
        (tmp_path / "top").chmod(0o755)


class BytesPath:
    def __fspath__(self):
        return b"zoo"


def test_places_where_there_can_be_none(tmp_path, probes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").touch()
    before = {path: written(path) for path in tmp_path.rglob("*")}
    for path, kind, message in [
        ("file", InvalidValueError, "path='file': expected a new or empty folder"),
        ("file/zoo", InvalidValueError, "in one that exists"),
        ("no/zoo", InvalidValueError, "in one that exists"),
        ("nothing", InvalidValueError, "there is a link to nothing already"),
        ("loop", InvalidValueError, "there is a link to nothing already"),
        ("full", InvalidValueError, "there is something else already"),
        (".", InvalidValueError, "there is something else already"),
        ("/", InvalidValueError, "there is something else already"),
        ("", InvalidValueError, "'.' is the current one"),
        ("a\0b", InvalidValueError, "that a file system can hold"),
        ("\ud800", InvalidValueError, "that a file system can hold"),
        ("x" * 256, ZooError, "cannot be made: File name too long"),
        ("/proc/zoo", (InvalidValueError, ZooError), "/proc/zoo"),
        (BytesPath(), InvalidTypeError, "the path of a folder"),
        (b"zoo", InvalidTypeError, "the path of a folder"),
    ]:
        with pytest.raises(kind, match=message):
            Zoo.create(path, probes)
        with pytest.raises(pyattrx.PyattrxError):
            Zoo.open(path)
    assert {path: written(path) for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("new", [True, False], ids=["new", "empty"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(3))
def test_a_creator_that_fails_leaves_nothing(tmp_path, probes, monkeypatch, new, error, at):
    folder = tmp_path / "zoo"
    if not new:
        folder.mkdir()
    rename, count = os.rename, []

    def fails(source, target):
        count.append(target)
        if len(count) == at + 1:
            raise error
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails)
        with pytest.raises((ZooError, KeyboardInterrupt)) as caught:
            Zoo.create(folder, probes)
    assert isinstance(caught.value, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert listed(tmp_path) == ([] if new else ["zoo"])
    assert new or listed(folder) == []
    used(folder, probes)


def test_a_full_disk_of_sqlite(tmp_path, probes, monkeypatch):
    import sqlite3

    def fails(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Catalog, "create", fails)
    with pytest.raises(ZooError, match="zoo: cannot be made: database or disk is full"):
        Zoo.create(tmp_path / "zoo", probes)
    assert listed(tmp_path) == []


def killed(folder, probes, at):
    """Let a process create a zoo and die at its renaming number `at`, before or after it."""
    child = os.fork()
    if child == 0:
        rename, count = os.rename, []

        def dies(source, target):
            count.append(target)
            if len(count) > at // 2 and at % 2 == 0:
                os._exit(7)
            rename(source, target)
            if len(count) > at // 2:
                os._exit(7)

        os.rename = dies
        try:
            Zoo.create(folder, probes)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("at", range(6))
def test_a_creator_that_is_killed(tmp_path, probes, at):
    folder = tmp_path / "zoo"
    killed(folder, probes, at)
    if at == 5:  # all was there
        with Zoo.open(folder) as zoo:
            assert zoo.verify().ok
        with pytest.raises(InvalidValueError, match="there is a zoo already"):
            Zoo.create(folder, probes)
        return
    with pytest.raises(ZooError, match="there is no zoo here"):
        Zoo.open(folder)
    if at % 2:
        killed(folder, probes, (at + 2) % 5)
    used(folder, probes)


def written(path):
    """What is known of a file, but for when it was last read: looking at it may change that."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("at", range(5))
def test_files_beside_what_was_left_are_not_touched(tmp_path, probes, at):
    folder = tmp_path / "zoo"
    killed(folder, probes, at)
    (folder / "thesis.tex").write_text("mine")
    before = {path: written(path) for path in folder.rglob("*")}
    with pytest.raises(InvalidValueError, match="something else already"):
        Zoo.create(folder, probes)
    assert {path: written(path) for path in folder.rglob("*")} == before
    (folder / "thesis.tex").unlink()
    # A file of one of our names, but not the one that was left.
    probes.head(3).save(folder / "images.probes")
    with pytest.raises(InvalidValueError, match="something else already"):
        Zoo.create(folder, probes)
    assert Probes.load(folder / "images.probes").hash == probes.head(3).hash


def test_folders_that_only_look_like_what_is_left(tmp_path, probes):
    for name in (".zoo-0123456789abcdef.newer", ".zoo-xyz.new", "rows", "images.probes"):
        folder = tmp_path / f"in {name}"
        (folder / name).mkdir(parents=True)
        with pytest.raises(InvalidValueError, match="something else already"):
            Zoo.create(folder, probes)
        assert listed(folder) == [name]
    folder = tmp_path / "link"
    folder.mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (folder / ".zoo-0123456789abcdef.new").symlink_to(tmp_path / "mine")
    with pytest.raises(InvalidValueError, match="something else already"):
        Zoo.create(folder, probes)
    assert listed(tmp_path / "mine") == ["file"]


def test_nobody_sees_half_a_zoo(tmp_path, probes, monkeypatch):
    create, seen = Catalog.create, []

    def looked_at(path, *rest):
        create(path, *rest)
        with pytest.raises(ZooError, match="there is no zoo here"):
            Zoo.open(tmp_path / "zoo")
        with pytest.raises(ZooLockedError, match="another process is making a zoo here"):
            Zoo.create(tmp_path / "zoo", probes)
        seen.append(path)

    monkeypatch.setattr(Catalog, "create", looked_at)
    Zoo.create(tmp_path / "zoo", probes).close()
    assert len(seen) == 1


def test_a_lock_that_cannot_be(tmp_path, probes, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(ZooError, match="zoo: cannot be made: No locks available"):
        Zoo.create(tmp_path / "zoo", probes)
    assert listed(tmp_path) == []
