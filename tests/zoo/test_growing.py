"""More probes: only the new ones are computed, all count at once, nothing is lost on the way."""

import numpy as np
import pytest
import torch
from zoo.conftest import encoder

import pyattrx
from pyattrx import Probes, Zoo
from pyattrx.encoders import PreparedEncoder, compiling
from pyattrx.errors import InvalidValueError, ZooError, ZooWarning
from pyattrx.running import Description

IMAGES = torch.rand(20, 3, 14, 14, generator=torch.Generator().manual_seed(5))
GROUPS = np.arange(20) // 2
METHOD = pyattrx.Method("saliency", storage="float16")


def probes(count):
    return Probes.from_tensor(IMAGES[:count], groups=GROUPS[:count])


@pytest.fixture(params=[True, False], ids=["rows", "sketches"])
def grown(request, tmp_path):
    """A zoo of 12 probes that became one of 20, beside one that began with 20."""
    zoos = []
    for name, count in (("small", 12), ("large", 20)):
        zoo = Zoo.create(
            tmp_path / name, probes(count), [METHOD, "grad_x_input"], keep_rows=request.param
        )
        for seed in range(5):
            zoo.add(encoder(seed))
        zoos.append(zoo)
    report = zoos[0].add_probes(probes(20), encoders=[encoder(seed) for seed in range(5)])
    assert (len(report.added), report.failed) == (5, {})
    yield zoos
    for zoo in zoos:
        zoo.close()


def test_compiled_maps_stay_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")
    asked, sizes = [], []
    compile_it = PreparedEncoder.compile
    monkeypatch.setattr(
        PreparedEncoder,
        "compile",
        lambda self, batch_size: (
            asked.append(self.name) or sizes.append(batch_size) or compile_it(self, batch_size)
        ),
    )
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        zoo.add(encoder(0), compile=True, batch_size=5)
        zoo.add_many([encoder(1)], batch_size=5)
        facts = [zoo.entry(name).facts for name in ("net0", "net1")]
        assert [one["compile"] for one in facts] == [True, False]
        assert facts[0]["compile_effect"]["least_cosine"] > 1 - 1e-9
        assert facts[1]["compile_effect"] is None
        assert asked == ["net0"]
        plain = zoo.query(encoder(2), k=2)
        compiled = zoo.query(encoder(2), k=2, compile=True)
        assert [m.affinity for m in compiled] == pytest.approx([m.affinity for m in plain])
        assert asked == ["net0", "net2"]
        # The new probes are seen as the old ones were.
        assert not zoo.add_probes(probes(20), encoders=[encoder(0), encoder(1)]).failed
        assert asked == ["net0", "net2", "net0"]
        assert sizes == [5, 12, 8]  # no batch of 20 for the 8 that are new


def test_it_is_the_zoo_that_began_with_them(grown):
    small, large = grown
    assert small.probes.hash == large.probes.hash
    assert small.verify().ok
    for method in small.methods:
        for target in ("net0", encoder(7)):
            ours = small.query(target, k=4, method=method)
            theirs = large.query(target, k=4, method=method)
            assert ours.n_probes == 20
            assert [m.name for m in ours] == [m.name for m in theirs]
            for mine, other in zip(ours, theirs, strict=True):
                assert mine.affinity == pytest.approx(other.affinity, abs=1e-3)
                assert mine.stderr == pytest.approx(other.stderr, abs=2e-3)
    if small.describe()["keep_rows"]:
        assert np.array_equal(small.affinity().values, large.affinity().values)
        assert np.array_equal(small.affinity().stderr, large.affinity().stderr)
    assert [e.zero_maps for e in small.entries()] == [e.zero_maps for e in large.entries()]
    small.add(encoder(9))
    assert small.verify().ok
    with Zoo.open(small.path) as again:
        assert len(again.probes) == 20
        assert len(again) == 6


def test_another_process_notices(tmp_path):
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        nets = [encoder(seed) for seed in range(3)]
        zoo.add_many(nets)
        with Zoo.open(zoo.path) as reader:
            assert reader.query("net0").n_probes == 12
            zoo.add_probes(probes(20), encoders=nets)
            assert reader.query("net0").n_probes == 20
            assert reader.verify().ok
            assert np.array_equal(reader.affinity().values, zoo.affinity().values)


def test_an_interruption_is_nothing_but_a_pause(tmp_path, monkeypatch):
    nets = [encoder(seed) for seed in range(4)]
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        zoo.add_many(nets)
        before = zoo.affinity().values
        run, ran = Description.__enter__, []

        def interrupted(self):
            ran.append(self._label)
            if len(ran) == 3:
                raise KeyboardInterrupt
            return run(self)

        with monkeypatch.context() as patch:
            patch.setattr(Description, "__enter__", interrupted)
            with pytest.raises(KeyboardInterrupt):
                zoo.add_probes(probes(20), encoders=nets)
        assert len(zoo.probes) == 12
        assert np.array_equal(zoo.affinity().values, before)
        assert zoo.verify().ok
        zoo.add(encoder(9))  # in between
    with Zoo.open(tmp_path / "zoo") as zoo:
        report = zoo.add_probes(probes(20), encoders=[*nets, encoder(9)])
        assert report.skipped == ["net0", "net1"]
        assert sorted(report.added) == ["net2", "net3", "net9"]
        assert zoo.verify().ok
        expected = pyattrx.affinity([*nets, encoder(9)], probes(20), METHOD).values
        assert np.array_equal(zoo.affinity().values, expected)
        assert len(list(zoo.path.glob("images*.probes"))) == 1


def test_other_probes_forget_what_was_staged(tmp_path):
    nets = [encoder(seed) for seed in range(2)]
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        zoo.add_many(nets)
        assert list(zoo.add_probes(probes(16), encoders=nets[:1]).failed) == ["net1"]
        assert len(zoo.probes) == 12
        report = zoo.add_probes(probes(20), encoders=nets)
        assert report.added == ["net0", "net1"]
        assert zoo.verify().ok
        assert zoo.query("net0").n_probes == 20


def test_networks_that_cannot_be_run_stop_it_or_go(tmp_path):
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        zoo.add(encoder(0))
        zoo.add_maps("maps", torch.rand(12, 196))
        with pytest.warns(ZooWarning, match="its 12 probes: 1 of its networks .* 'maps'") as warned:
            report = zoo.add_probes(probes(20), encoders=[encoder(0)])
        assert warned[-1].filename == __file__
        assert report.added == ["net0"]
        assert "without a specification" in report.failed["maps"]
        assert len(zoo.probes) == 12
        other = encoder(3)
        other.name = "maps"
        failed = zoo.add_probes(probes(20), encoders=[other]).failed
        assert "whether this is its network cannot be compared" in failed["maps"]
        report = zoo.add_probes(probes(20), drop=True)
        assert (zoo.names, report.skipped, list(report.failed)) == (["net0"], ["net0"], ["maps"])
        assert len(zoo.probes) == 20
        assert zoo.verify().ok


def test_specifications_are_loaded_again(tmp_path):
    (tmp_path / "nets.py").write_text(
        "import torch\ndef one():\n    torch.manual_seed(0)\n    return torch.nn.Conv2d(3, 4, 3)\n"
    )
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        name = zoo.add(f"{tmp_path}/nets.py:one").name
        assert zoo.add_probes(probes(20)).added == [name]
        assert zoo.verify().ok
        (tmp_path / "nets.py").write_text("def two(): ...\n")
        more = Probes.from_tensor(torch.cat([IMAGES, IMAGES]), groups=np.arange(40) // 2)
        assert "one" in zoo.add_probes(more).failed[name]
        assert len(zoo.probes) == 20


@pytest.mark.parametrize(
    "given",
    [
        probes(12),
        probes(8),
        Probes.from_tensor(IMAGES.flip(0), groups=GROUPS),
        Probes.from_tensor(IMAGES),  # other groups
    ],
)
def test_probes_that_do_not_begin_with_the_zoos_are_refused(tmp_path, given):
    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        with pytest.raises(InvalidValueError, match="the zoo's 12 probes"):
            zoo.add_probes(given)
        with pytest.raises(InvalidValueError, match="probes.size"):
            zoo.add_probes(Probes.from_tensor(IMAGES[:, :, :7, :7]))


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    nets = [encoder(seed) for seed in range(2)]

    def full(*_):
        raise OSError(28, "No space left on device")

    with Zoo.create(tmp_path / "zoo", probes(12), METHOD) as zoo:
        zoo.add_many(nets)
        for place in ("pyattrx.storage.segments.write_all", "os.fsync"):
            with monkeypatch.context() as patch:
                patch.setattr(place, full)
                with pytest.raises(ZooError, match="No space left on device"):
                    zoo.add_probes(probes(20), encoders=nets)
            assert len(zoo.probes) == 12
            assert zoo.verify().ok
        zoo.add_probes(probes(20), encoders=nets)
        assert zoo.verify().ok


def test_a_damaged_description_is_a_network_that_fails(zoo, spoil, probes):
    images = torch.cat([probes.images(), IMAGES[:4]])
    more = Probes.from_tensor(images, groups=[*probes.groups.tolist(), 6, 6, 7, 7])
    nets = [encoder(seed) for seed in range(6)]
    spoil("net2")
    report = zoo.add_probes(more, encoders=nets)
    assert list(report.failed) == ["net2"]
    assert "damaged" in report.failed["net2"]
    assert len(zoo.probes) == 12
    report = zoo.add_probes(more, encoders=nets, drop=True)
    assert (list(report.failed), len(report.skipped)) == (["net2"], 5)
    assert "net2" not in zoo
    assert len(zoo.probes) == 16
    assert zoo.verify().ok
