"""What others do to a zoo meanwhile, and to its files: nothing is lost, and nothing is believed."""

import contextlib
import multiprocessing
import os
import sqlite3
import time
import warnings
from pathlib import Path

import pytest
import torch
from zoo.conftest import encoder

from pyattrx import Probes, Zoo
from pyattrx.errors import PyattrxError, ZooError
from pyattrx.query import Limits, reranking


def sql(folder, statement):
    connection = sqlite3.connect(folder / "zoo.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_adding_never_cuts_off_committed_rows(zoo):
    sql(zoo.path, "DELETE FROM segments")
    with contextlib.suppress(ZooError):
        zoo.add(encoder(9))
    assert zoo.verify().damaged == {}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE methods SET definition = replace(definition, 'saliency', 'grad_x_input')",
        "UPDATE methods SET definition = '{}'",
        "UPDATE meta SET value = replace(value, '\"sketch_seed\": 0', '\"sketch_seed\": 1')",
        "UPDATE tags SET tag = 'smaller'",
    ],
)
def test_every_column_of_the_catalog_is_guarded(zoo, statement):
    sql(zoo.path, statement)
    try:
        with Zoo.open(zoo.path) as again:
            noticed = not again.verify().ok
    except ZooError:
        noticed = True
    assert noticed


@pytest.mark.parametrize(("key", "value"), [("zoo", "{"), ("zoo", "5"), ("epoch", "{")])
def test_what_cannot_be_decoded_is_damage(zoo, key, value):
    sql(zoo.path, f"UPDATE meta SET value = '{value}' WHERE key = '{key}'")
    with pytest.raises(ZooError):
        Zoo.open(zoo.path)


@pytest.mark.parametrize("change", ["kind = 64", "method = 9", "first = 1000"])
def test_a_record_that_is_not_found_is_damage(zoo, change):
    number = zoo._store.catalog.id_of("net2")
    sql(zoo.path, f"UPDATE records SET {change} WHERE entry = {number} AND kind = 0")
    with pytest.warns(UserWarning, match="'net2' is damaged"):
        assert zoo.query("net0").damaged == ("net2",)


def test_a_reader_who_may_not_write_sees_what_the_owner_writes(tmp_path, zoo):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody who may not write")
    zoo.close()
    for folder in (*tmp_path.parents, tmp_path):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "test_", "popen")):
            folder.chmod(folder.stat().st_mode | 0o055)
    context = multiprocessing.get_context("fork")
    opened, written = context.Event(), context.Event()
    heard, say = context.Pipe(False)

    def read():
        os.setgid(65534)
        os.setuid(65534)
        try:
            with Zoo.open(tmp_path / "zoo") as reader:
                opened.set()
                written.wait(60)
                say.send((reader.names, reader.verify().ok))
        except PyattrxError as error:
            say.send((str(error), False))

    child = context.Process(target=read)
    child.start()
    assert opened.wait(60)
    with Zoo.open(tmp_path / "zoo") as owner:
        for index in range(150):
            owner.add_maps(f"more{index}", torch.rand(12, 196))
        names = owner.names
    written.set()
    assert heard.recv() == (names, True)
    child.join()


def test_an_index_of_other_contents_is_not_believed(tmp_path):
    probes = Probes.from_tensor(torch.rand(16, 3, 8, 8))
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(200, 16, 64, generator=generator)
    for name, order in (("a", range(200)), ("b", reversed(range(200)))):
        with Zoo.create(tmp_path / name, probes, "saliency", keep_rows=False) as zoo:
            zoo.limits = Limits(worth_saving=1)
            for index in order:
                zoo.add_maps(f"n{index}", maps[index])
            zoo.query(maps[0])
    (theirs,) = (tmp_path / "b" / "index").iterdir()
    (tmp_path / "a" / "index" / theirs.name).write_bytes(theirs.read_bytes())
    with Zoo.open(tmp_path / "a") as zoo:
        assert [zoo.query(maps[i], 1)[0].name for i in range(9)] == [f"n{i}" for i in range(9)]


def test_a_damaged_sketch_is_reported_after_the_index_was_saved(tmp_path):
    probes = Probes.from_tensor(torch.rand(16, 3, 8, 8))
    generator = torch.Generator().manual_seed(0)
    with Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        for index in range(300):
            zoo.add_maps(f"n{index}", torch.randn(16, 64, generator=generator))
        ((located,),) = zoo._store.catalog.records([8], 1, 1).values()
    rows = Path(tmp_path / "zoo" / "rows" / "000001.rows")
    data = bytearray(rows.read_bytes())
    data[located.record.offset + 5] ^= 1
    rows.write_bytes(data)
    for _ in ("builds the index", "reads it"):
        with Zoo.open(tmp_path / "zoo") as zoo, warnings.catch_warnings():
            zoo.limits = Limits(0, 0, in_memory=0, worth_saving=1)
            warnings.simplefilter("ignore")
            assert zoo.query("n5", 1).damaged == ("n7",)


def test_what_is_removed_meanwhile_is_not_an_error(zoo, monkeypatch):
    with Zoo.open(zoo.path) as other:
        entries = zoo.entries()
        next(entries)
        other.remove("net3")
        assert "net3" not in [entry.name for entry in entries]
        read = zoo._store.segments.read

        def remove(*given):
            if "net4" in other:
                other.remove("net4")
            return read(*given)

        monkeypatch.setattr(zoo._store.segments, "read", remove)
        assert zoo.verify().ok


def test_removal_and_growth_do_not_disturb_reranking(tmp_path, probes, monkeypatch):
    nets = [encoder(seed, features="1") for seed in range(4)]
    images = torch.cat([probes.images(), torch.rand(4, *probes.images().shape[1:])])
    groups = [*probes.groups.tolist(), *[max(probes.groups) + 1] * 4]
    more = Probes.from_tensor(images, groups=groups)
    with Zoo.create(tmp_path / "zoo", probes, "saliency", rerank="cka") as zoo:
        zoo.add_many(nets)
        read = reranking.read_summaries
        with Zoo.open(zoo.path) as reader:
            for change in (
                lambda: zoo.remove("net3"),
                lambda: zoo.add_probes(more, encoders=nets),
            ):
                changes = [change]

                def meanwhile(*given, changes=changes):
                    while changes:
                        changes.pop()()
                    return read(*given)

                monkeypatch.setattr(reranking, "read_summaries", meanwhile)
                found = reader.query(encoder(9, features="1"), 3, rerank="cka")
                assert (found.damaged, len(found) >= 2) == ((), True)


def test_a_damaged_description_does_not_stop_the_rest(tmp_path, zoo, probes):
    sql(zoo.path, "UPDATE entries SET facts = '{}' WHERE name = 'net2'")
    with pytest.warns(UserWarning, match="net2"):
        assert len(list(zoo.entries())) == 5
    images = torch.cat([probes.images(), torch.rand(4, *probes.images().shape[1:])])
    groups = [*probes.groups.tolist(), *[max(probes.groups) + 1] * 4]
    more = Probes.from_tensor(images, groups=groups)
    report = zoo.add_probes(more, encoders=[encoder(seed) for seed in range(6)], drop=True)
    assert list(report.failed) == ["net2"]


def test_a_lock_file_that_is_removed_still_locks(zoo):
    with zoo._store.writing(0):
        (zoo.path / "lock").unlink()
        with Zoo.open(zoo.path) as other, pytest.raises(ZooError, match="is writing"):
            other.tag("net0", "x")


def test_a_forked_child_does_not_keep_the_lock(zoo):
    with zoo._store.writing(0):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3,))
        child.start()
    with Zoo.open(zoo.path) as other:
        other.tag("net0", "x")
    child.join()
