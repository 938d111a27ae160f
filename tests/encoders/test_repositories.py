"""What a file that is loaded by its path imports from its own folder is its own."""

import copy
import gc
import importlib
import importlib.util
import pickle
import shutil
import subprocess
import sys
import types
import typing
import weakref
from pathlib import Path

import pytest
import torch

import pyattrx
from pyattrx.encoders import repositories
from pyattrx.errors import EncoderError

WIDTHS = (4, 32)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def two(tmp_path, files, hub="hubconf.py"):
    """Two repositories that differ in what stands for WIDTH; how wide their networks are."""
    found = []
    for repository, width in zip(("one", "two"), WIDTHS, strict=True):
        write(
            tmp_path / repository,
            {name: text.replace("WIDTH", str(width)) for name, text in files.items()},
        )
        found.append(pyattrx.load(f"{tmp_path / repository / hub}:net"))
    return found


def widths(encoders):
    return tuple(encoder.module.out_channels for encoder in encoders)


CONV = "from torch import nn\ndef net(): return nn.Conv2d(3, width, 3)\n"
LAZY = "from torch import nn\ndef net():\n    {}\n    return nn.Conv2d(3, width, 3)\n"
IN_FORWARD = (
    "from torch import nn\n"
    "class Net(nn.Module):\n"
    "    def forward(self, x):\n"
    "        from utils import width\n"
    "        return x.flatten(1)[:, :2] * width\n"
    "def net(): return Net()\n"
)

REPOSITORIES = {
    "module": {"utils.py": "width = WIDTH\n", "hubconf.py": "from utils import width\n" + CONV},
    "package": {
        "models/__init__.py": "from .sizes import width\n",
        "models/sizes.py": "width = WIDTH\n",
        "hubconf.py": "import models\nwidth = models.width\n" + CONV,
    },
    "package of a package": {
        "models/__init__.py": "",
        "models/nets/__init__.py": "",
        "models/nets/resnet.py": "from ..sizes import width\nfrom models.sizes import width\n",
        "models/sizes.py": "width = WIDTH\n",
        "hubconf.py": "import models.nets.resnet as r\nwidth = r.width\n" + CONV,
    },
    "folder without init": {
        "models/resnet.py": "import models.sizes\nwidth = models.sizes.width\n",
        "models/sizes.py": "width = WIDTH\n",
        "hubconf.py": "from models.resnet import width\n" + CONV,
    },
    "dotted": {
        "models/a/b.py": "width = WIDTH\n",
        "hubconf.py": "import models.a.b\nwidth = models.a.b.width\n" + CONV,
    },
    "star": {"utils.py": "width = WIDTH\n", "hubconf.py": "from utils import *\n" + CONV},
    "neighbours import one another": {
        "utils.py": "import config\nwidth = config.width\n",
        "config.py": "width = WIDTH\n",
        "hubconf.py": "from utils import width\n" + CONV,
    },
    "in a circle": {
        "a.py": "import b\ndef width(): return b.width\n",
        "b.py": "import a\nwidth = WIDTH\n",
        "hubconf.py": "import a\nwidth = a.width()\n" + CONV,
    },
    "inside the factory": {
        "utils.py": "width = WIDTH\n",
        "hubconf.py": LAZY.format("from utils import width"),
    },
    "by import_module": {
        "models/small.py": "width = WIDTH\n",
        "hubconf.py": LAZY.format(
            "import importlib; width = importlib.import_module('models.small').width"
        ),
    },
    "by __import__": {
        "utils.py": "width = WIDTH\n",
        "hubconf.py": LAZY.format("width = __import__('utils').width"),
    },
    "by exec": {
        "utils.py": "width = WIDTH\n",
        "hubconf.py": "exec('from utils import width')\n" + CONV,
    },
    "unpickled": {
        "models.py": "class Options:\n    width = WIDTH\n",
        "hubconf.py": LAZY.format(
            "import pickle; width = pickle.loads(b'cmodels\\nOptions\\n.').width"
        ),
    },
    "relative": {"utils.py": "width = WIDTH\n", "hubconf.py": "from .utils import width\n" + CONV},
    "shadows the standard library": {
        "profile.py": "width = WIDTH\n",
        "hubconf.py": "from profile import width\n" + CONV,
    },
    "shadows an installed package": {
        "pytest/__init__.py": "width = WIDTH\n",
        "hubconf.py": "from pytest import width\n" + CONV,
    },
    "a folder that it adds": {
        "src/models.py": "width = WIDTH\n",
        "hubconf.py": "import os, sys\n"
        "sys.path.append(os.path.join(os.path.dirname(__file__), 'src'))\n"
        "from models import width\n" + CONV,
    },
    "a folder that it puts first": {
        "src/models/__init__.py": "from models.sizes import width\n",
        "src/models/sizes.py": "width = WIDTH\n",
        "hubconf.py": "import sys\nfrom pathlib import Path\n"
        "sys.path.insert(0, str(Path(__file__).parent / 'src'))\n"
        + LAZY.format("from models import width"),
    },
    "bound by name": {
        "utils.py": "width = WIDTH\n",
        "hubconf.py": "import sys\nimport utils\nwidth = utils.width\n" + CONV,
    },
}


@pytest.mark.parametrize("program", [False, True], ids=["", "the program has them, too"])
@pytest.mark.parametrize("kind", REPOSITORIES)
def test_two_repositories(tmp_path, monkeypatch, kind, program):
    if program:
        for name in ("utils", "models", "models.sizes", "a", "b", "config", "profile"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    before, path, finders = dict(sys.modules), sys.path[:], sys.meta_path[:]
    assert widths(two(tmp_path, REPOSITORIES[kind])) == WIDTHS
    after = {n: m for n, m in sys.modules.items() if not n.startswith("pyattrx_")}
    assert {n: m for n, m in before.items() if not n.startswith("pyattrx_")} == {
        n: after[n] for n in before if n in after
    }
    assert not set(after) & {"utils", "models", "config", "a", "b"} - set(before)
    assert sys.path == path
    assert [f for f in sys.meta_path if f is not repositories._names] == [
        f for f in finders if f is not repositories._names
    ]


def test_imports_in_the_forward_pass(tmp_path, monkeypatch):
    files = {"utils.py": "width = WIDTH\n", "hubconf.py": IN_FORWARD}
    monkeypatch.setitem(sys.modules, "utils", types.ModuleType("utils"))
    x = torch.rand(1, 3, 8, 8)
    for encoder, width in zip(two(tmp_path, files), WIDTHS, strict=True):
        assert torch.equal(encoder.module(x), x.flatten(1)[:, :2] * width)
        with encoder.prepare("cpu", x) as prepared:
            assert torch.equal(prepared.forward(x), x.flatten(1)[:, :2] * width)


@pytest.mark.parametrize(
    "statement",
    [
        "from utils import width",
        "import os, utils; width = utils.width",
        "import utils as u; width = u.width",
        "from models.sizes import width",
        "import models.sizes; width = models.sizes.width",
        "import models.sizes as s; width = s.width",
        "from models import sizes; width = sizes.width",
    ],
)
def test_imports_in_a_compiled_pass(tmp_path, monkeypatch, statement):
    """torch.compile runs import statements by itself, and asks no module how."""
    other = types.ModuleType("utils")
    other.width = 100
    monkeypatch.setitem(sys.modules, "utils", other)
    files = {
        "utils.py": "width = WIDTH\n",
        "models/__init__.py": "",
        "models/sizes.py": "width = WIDTH\n",
        "hubconf.py": IN_FORWARD.replace("from utils import width", statement),
    }
    x = torch.rand(1, 3, 8, 8)
    for encoder, width in zip(two(tmp_path, files), WIDTHS, strict=True):
        run = torch.compile(encoder.module, backend="eager", fullgraph=True)
        assert torch.equal(run(x), x.flatten(1)[:, :2] * width)
        assert torch.equal(encoder.module(x), x.flatten(1)[:, :2] * width)


def test_in_the_shell(tmp_path):
    for repository, width in zip(("one", "two"), WIDTHS, strict=True):
        write(
            tmp_path / repository,
            {
                "utils.py": f"width = {width}\n",
                "hubconf.py": "from utils import width\nimport torch\n"
                "def net():\n    torch.manual_seed(0); return torch.nn.Conv2d(3, width, 3)\n",
            },
        )
    code = (
        "import sys, pyattrx; print(*(pyattrx.load(s).module.out_channels for s in sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "one/hubconf.py:net", "two/hubconf.py:net"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(w) for w in WIDTHS]


def test_files_of_one_folder_do_not_share_their_neighbours(tmp_path):
    """Whoever was loaded first would decide about the others."""
    write(
        tmp_path,
        {
            "config.py": "width = 4\n",
            "wide.py": "import config\nconfig.width *= 8\nwidth = config.width\n" + CONV,
            "plain.py": "from config import width\n" + CONV,
        },
    )
    names = [f"{tmp_path}/{name}.py:net" for name in ("wide", "plain", "wide")]
    assert widths(pyattrx.load(name) for name in names) == (32, 4, 32)


def test_a_changed_neighbour_is_seen(tmp_path):
    """At once: a second of the same size in one second, too, and one that was not there before."""
    write(tmp_path, {"utils.py": "width = 4\n", "hubconf.py": "from utils import width\n" + CONV})
    first = pyattrx.load(f"{tmp_path}/hubconf.py:net")
    write(tmp_path, {"utils.py": "width = 8\n"})
    second = pyattrx.load(f"{tmp_path}/hubconf.py:net")
    write(tmp_path, {"utils.py": "from more import width\n", "more.py": "width = 2\n"})
    third = pyattrx.load(f"{tmp_path}/hubconf.py:net")
    assert widths([first, second, third]) == (4, 8, 2)
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_unchanged_file_that_comes_to_have_a_neighbour(tmp_path, monkeypatch):
    """It was compiled when there was none."""
    other = types.ModuleType("utils")
    other.width = 100
    monkeypatch.setitem(sys.modules, "utils", other)
    write(tmp_path, {"hubconf.py": IN_FORWARD})
    x = torch.rand(1, 3, 8, 8)
    for width in (100, 3):
        module = pyattrx.load(f"{tmp_path}/hubconf.py:net").module
        run = torch.compile(module, backend="eager", fullgraph=True)
        assert torch.equal(run(x), x.flatten(1)[:, :2] * width)
        assert torch.equal(module(x), x.flatten(1)[:, :2] * width)
        write(tmp_path, {"utils.py": "width = 3\n"})


def test_programs_of_two_loads_of_a_file(tmp_path):
    """torch.compile knows functions by their code, and takes equal code for one function."""
    text = (
        "from utils import scale, width\nfrom torch import nn\n"
        "class Net(nn.Module):\n    def forward(self, x): return scale(x) + width\n"
        "def net(): return Net()\n"
    )
    x = torch.rand(2, 3)
    found = []
    for width in WIDTHS:
        files = {
            "hubconf.py": text,
            "utils.py": f"width = {width}\ndef scale(x): return x * width\n",
        }
        write(tmp_path, files)
        module = pyattrx.load(f"{tmp_path}/hubconf.py:net").module
        found.append((module, torch.compile(module, backend="eager", fullgraph=True), width))
    for module, run, width in found * 2:
        assert torch.equal(run(x), x * width + width)
        assert torch.equal(module(x), x * width + width)


def test_a_registry_that_refuses_a_second_entry(tmp_path):
    write(
        tmp_path,
        {
            "registry.py": "made = {}\ndef register(f):\n"
            "    assert f.__name__ not in made\n    made[f.__name__] = f\n    return f\n",
            "hubconf.py": "from registry import register\nfrom torch import nn\n"
            "@register\ndef net(): return nn.Conv2d(3, 4, 3)\n",
        },
    )
    name = f"{tmp_path}/hubconf.py:net"
    assert widths([pyattrx.load(name), pyattrx.load(name)]) == (4, 4)


def test_what_registers_once_a_process_is_told_how_to_be_loaded(tmp_path, monkeypatch):
    """The registry is another package's, which is imported once."""
    other = types.ModuleType("somebodys_registry")
    other.made = set()
    monkeypatch.setitem(sys.modules, "somebodys_registry", other)
    write(
        tmp_path,
        {
            "neighbour.py": "from somebodys_registry import made\n"
            "assert 'me' not in made\nmade.add('me')\nwidth = 4\n",
            "hubconf.py": "from neighbour import width\n" + CONV,
        },
    )
    name = f"{tmp_path}/hubconf.py:net"
    pyattrx.load(name)
    with pytest.raises(EncoderError, match="executes the file anew.*package.module:factory"):
        pyattrx.load(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from utils import nothing\n", "cannot import name 'nothing' from 'utils'"),
        ("import utils.more\n", "No module named 'utils.more'"),
        ("import utils\nraise RuntimeError(utils.__name__)\n", "RuntimeError: utils$"),
        ("import utils\nimport sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("import utils\nimport importlib\nimportlib.import_module('utils')\n1 / 0\n", "division"),
        ("import utils\ndef net(): 1 / 0\n", "division"),
    ],
)
def test_a_file_that_fails_leaves_nothing_behind(tmp_path, text, message):
    write(tmp_path, {"utils.py": "\n", "hubconf.py": text})
    before, path, finders = set(sys.modules), sys.path[:], len(sys.meta_path)
    with pytest.raises(EncoderError, match=message) as caught:
        pyattrx.load(f"{tmp_path}/hubconf.py:net")
    assert "pyattrx_" not in str(caught.value)
    assert set(sys.modules) == before
    assert sys.path == path
    assert len(sys.meta_path) <= finders + 1


class TestClasses:
    files: typing.ClassVar = {
        "utils.py": "from dataclasses import dataclass, field\nfrom torch import nn\n"
        "from typing import ClassVar\n"
        "@dataclass\nclass Options:\n    of: 'ClassVar[int]' = 3\n    width: 'int' = WIDTH\n"
        "    more: 'list[Options]' = field(default_factory=list)\n"
        "class Net(nn.Conv2d):\n    pass\n"
        "def scale(x): return x * WIDTH\n",
        "hubconf.py": "from utils import Net, Options, scale\n"
        "from torch import nn\n"
        "class Wrapped(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 2, 3)\n"
        "    def forward(self, x): return scale(self.conv(x))\n"
        "def net(): return Net(3, Options().width, 3)\n"
        "def wrapped(): return Wrapped()\n"
        "def options():\n    raise RuntimeError(repr(Options()))\n",
    }

    def test_are_looked_up(self, tmp_path):
        for encoder in two(tmp_path, self.files):
            for made in (copy.deepcopy(encoder.module), pickle.loads(pickle.dumps(encoder.module))):
                assert type(made) is type(encoder.module)
            options = sys.modules[type(encoder.module).__module__].Options
            assert typing.get_type_hints(options)["more"] == list[options]
            assert options().width == encoder.module.out_channels

    def test_of_loads_that_are_long_past(self, tmp_path):
        (first, _) = two(tmp_path, self.files)
        name = f"{tmp_path}/one/hubconf.py:net"
        write(tmp_path / "one", {"utils.py": (tmp_path / "two" / "utils.py").read_text()})
        wrapped = pyattrx.load(f"{tmp_path}/two/hubconf.py:wrapped")
        for _ in range(2 * repositories._KEPT):
            pyattrx.load(name)
            pyattrx.load(f"{tmp_path}/two/hubconf.py:net")
        assert type(wrapped.module).__module__ not in sys.modules
        made = pickle.loads(pickle.dumps(wrapped.module))
        assert type(made) is type(wrapped.module)
        assert importlib.import_module(type(made).__module__).Wrapped is type(made)

    def test_go_when_nobody_has_them(self, tmp_path):
        write(tmp_path, {"hubconf.py": "import utils\n" + CONV, "utils.py": "width = 1\n"})
        write(tmp_path, {"hubconf.py": "from utils import width\n" + CONV})
        name = f"{tmp_path}/hubconf.py:net"
        pyattrx.load(name)
        seen = weakref.ref(list(repositories._kept[Path(f"{tmp_path}/hubconf.py")])[0])
        for _ in range(repositories._KEPT):
            pyattrx.load(name)
        gc.collect()
        assert seen() is None
        assert len([n for n in sys.modules if n.endswith(".hubconf")]) < 500

    def test_have_no_made_up_names(self, tmp_path):
        found = two(tmp_path, self.files)
        assert [e.describe()["class"] for e in found] == ["utils.Net"] * 2
        wrapped = pyattrx.load(f"{tmp_path}/one/hubconf.py:wrapped")
        assert wrapped.describe()["class"] == "hubconf.Wrapped"

    def test_are_compiled(self, tmp_path):
        """Programs read the globals of the module that a function says it is from."""
        two(tmp_path, self.files)
        torch.manual_seed(0)
        x = torch.rand(2, 3, 8, 8)
        for repository in ("one", "two"):
            encoder = pyattrx.load(f"{tmp_path}/{repository}/hubconf.py:wrapped")
            run = torch.compile(encoder.module, backend="eager", fullgraph=True)
            assert torch.equal(run(x), encoder.module(x))


def test_a_moved_project_is_described_alike(tmp_path):
    files = {
        "nets/__init__.py": "",
        "nets/small.py": "from torch import nn\nclass Net(nn.Conv2d): pass\n"
        "def first(net, x): return net(x)[:, :1]\ndef halve(x): return x / 2\n",
        "hub.py": "import pyattrx, torch\nfrom nets.small import Net, first, halve\n"
        "def net():\n    torch.manual_seed(0)\n"
        "    return pyattrx.Encoder(Net(3, 4, 3), 'mine', first, halve, features=first)\n",
    }
    described = []
    for place in ("a", "b/c"):
        write(tmp_path / place, files)
        made = pyattrx.load(f"{tmp_path}/{place}/hub.py:net").describe()
        del made["specification"]
        described.append(made)
    assert described[0] == described[1]
    assert described[0]["class"] == "nets.small.Net"
    assert described[0]["output"] == described[0]["features"] == "nets.small:first"
    assert described[0]["transform"] == "nets.small:halve"


def test_shared_things_are_shared(tmp_path):
    """A folder of that name beside the file is no second torch."""
    write(
        tmp_path,
        {
            "torch/__init__.py": "raise RuntimeError('no')\n",
            "pyattrx/__init__.py": "raise RuntimeError('no')\n",
            "hub.py": "import torch, pyattrx\n"
            "def net(): return pyattrx.Encoder(torch.nn.Conv2d(3, 4, 3), 'mine')\n",
        },
    )
    assert pyattrx.load(f"{tmp_path}/hub.py:net").name == "mine"


def test_folders_without_init_give_way_to_what_is_installed(tmp_path):
    write(
        tmp_path,
        {
            "pytest/notes.txt": "",
            "json/notes.txt": "",
            "hub.py": "import json, pytest\n"
            "width = json.loads('5') if pytest.raises else 0\n" + CONV,
        },
    )
    assert pyattrx.load(f"{tmp_path}/hub.py:net").module.out_channels == 5


def test_others_never_import_from_the_folder(tmp_path):
    """`colorsys` is somebody's here; a package that wants the library's must not get it."""
    write(
        tmp_path,
        {
            "colorsys.py": "width = 6\n",
            "hub.py": "import importlib\nfrom colorsys import width\n"
            "assert importlib.import_module('colorsys').hls_to_rgb\n" + CONV,
        },
    )
    sys.modules.pop("colorsys", None)
    assert pyattrx.load(f"{tmp_path}/hub.py:net").module.out_channels == 6
    assert importlib.import_module("colorsys").hls_to_rgb


def test_a_package_beside_a_file_of_its_name(tmp_path):
    write(
        tmp_path,
        {
            "net.py": "from net.sizes import width\n" + CONV,
            "net/__init__.py": "",
            "net/sizes.py": "width = 7\n",
        },
    )
    assert pyattrx.load(f"{tmp_path}/net.py:net").module.out_channels == 7


@pytest.mark.parametrize("name", ["my-net.py", "net.v2.py", "__init__.py", "2nd.py"])
def test_files_with_any_name(tmp_path, name):
    write(tmp_path, {name: "from utils import width\n" + CONV, "utils.py": "width = 5\n"})
    assert pyattrx.load(f"{tmp_path}/{name}:net").module.out_channels == 5


def test_a_link_has_the_folder_of_its_file(tmp_path):
    write(tmp_path / "real", {"hub.py": "from utils import width\n" + CONV})
    write(tmp_path / "real", {"utils.py": "width = 5\n"})
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "hub.py")
    assert pyattrx.load(f"{tmp_path}/link.py:net").module.out_channels == 5


def test_the_file_as_it_is_run(tmp_path):
    write(
        tmp_path,
        {
            "hub.py": "import sys\nfrom pathlib import Path\n"
            "if __name__ == '__main__':\n    raise RuntimeError('run')\n"
            "assert Path(__file__) == Path(sys.path[0], 'hub.py')\n"
            "width = 1\n" + CONV,
        },
    )
    assert pyattrx.load(f"{tmp_path}/hub.py:net").module.out_channels == 1


def test_compiled_modules_are_loaded_once(tmp_path):
    """Their types can be registered only once a process."""
    library = importlib.util.find_spec("_bisect").origin
    if not Path(library).is_file():
        pytest.skip("no compiled module to copy")
    for repository in ("one", "two"):
        write(
            tmp_path / repository, {"hub.py": "from _bisect import bisect_left\nwidth = 3\n" + CONV}
        )
        shutil.copy(library, tmp_path / repository)
    made = []
    for repository in ("one", "one", "two"):
        pyattrx.load(f"{tmp_path}/{repository}/hub.py:net")
        made.append([m for n, m in sys.modules.items() if n.endswith("._bisect")][-1])
    assert made[0] is made[1] is not made[2]
    assert Path(made[2].__file__).parent.name == "two"


def test_one_load_inside_another(tmp_path):
    write(tmp_path / "a", {"utils.py": "width = 2\n"})
    write(
        tmp_path / "a",
        {
            "hub.py": "import pyattrx\nfrom pathlib import Path\nfrom torch import nn\n"
            "def net():\n"
            "    inner = pyattrx.load(str(Path(__file__).parents[1] / 'b' / 'hub.py') + ':net')\n"
            "    from utils import width\n"
            "    import importlib\n"
            "    assert importlib.import_module('utils').width == width\n"
            "    return nn.Conv2d(inner.module.out_channels, width, 3)\n"
        },
    )
    write(tmp_path / "b", {"utils.py": "width = 9\n", "hub.py": "from utils import width\n" + CONV})
    made = pyattrx.load(f"{tmp_path}/a/hub.py:net").module
    assert (made.in_channels, made.out_channels) == (9, 2)


def test_modules_by_name_are_pythons_own(tmp_path, monkeypatch):
    """There is one of a name; another folder's is refused, and not taken for it."""
    for repository, width in (("one", 4), ("two", 32)):
        write(tmp_path / repository, {"only_here.py": f"width = {width}\n" + CONV})
    monkeypatch.chdir(tmp_path / "one")
    try:
        assert pyattrx.load("only_here:net").module.out_channels == 4
        assert pyattrx.load("only_here:net").module.out_channels == 4
        monkeypatch.chdir(tmp_path / "two")
        with pytest.raises(EncoderError, match="was imported from .*one.*write path/file.py"):
            pyattrx.load("only_here:net")
        assert pyattrx.load("only_here.py:net").module.out_channels == 32
    finally:
        sys.modules.pop("only_here", None)
