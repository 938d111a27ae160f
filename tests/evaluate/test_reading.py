"""Tables from files: every form that is accepted, every harm that is refused."""

import io
import os
import pickle
import pickletools
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from pyattrx.errors import InvalidValueError, PyattrxError, UntrustedError
from pyattrx.evaluate import Table, read_table, write_table
from pyattrx.evaluate.pickles import _Array, read_pickle

ROWS = {"depth": {"depth": 0.1, "edges": 0.2}, "edges": {"depth": 0.3, "edges": 0.4}}


def same(table, targets=("depth", "edges"), sources=("depth", "edges"), values=None):
    assert (table.targets, table.sources) == (tuple(targets), tuple(sources))
    expected = [[0.1, 0.2], [0.3, 0.4]] if values is None else values
    np.testing.assert_array_equal(table.values, expected)


class TestCSV:
    @pytest.mark.parametrize(
        "text",
        [
            "target,depth,edges\ndepth,0.1,0.2\nedges,0.3,0.4\n",
            ",depth,edges\r\ndepth,0.1,0.2\r\nedges,0.3,0.4",
            "depth,edges\ndepth,0.1,0.2\nedges,0.3,0.4\n",
            "depth,edges\n0.1,0.2\n0.3,0.4\n",
            "\ufefftarget, depth , edges\n\ndepth, 0.1,.2\nedges,3e-1,0.4\n\n",
            '"target","depth","edges"\n"depth",0.1,0.2\n"edges",0.3,0.4\n',
        ],
    )
    def test_forms(self, tmp_path, text):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode())
        same(read_table(path))

    def test_missing_values(self, tmp_path):
        path = tmp_path / "t.CSV"
        path.write_text("target,a,b,c,d\nx,,nan,NA,inf\ny,1,-inf,None,2\n")
        nan, inf = np.nan, np.inf
        same(read_table(path), "xy", "abcd", [[nan, nan, nan, inf], [1, -inf, nan, 2]])

    def test_rows_named_by_numbers_under_an_empty_word(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text(",7,8\n7,0.1,0.2\n8,0.3,0.4\n")
        same(read_table(path), "78", "78")

    def test_what_pandas_writes(self, tmp_path):
        values = np.random.default_rng(0).normal(size=(3, 4))
        frame = pd.DataFrame(values, index=list("abc"), columns=list("wxyz"))
        frame.to_csv(tmp_path / "t.csv")
        same(read_table(tmp_path / "t.csv"), "abc", "wxyz", values)

    def test_round_trip_to_the_last_bit(self, tmp_path):
        values = np.random.default_rng(1).normal(size=(3, 3)) * 10.0 ** np.arange(-300, 600, 300)
        values[1, 1] = np.nan
        table = Table(values, ["a", 'b, "c"', "ü"], ["a", "d", "e"])
        path = write_table(table, tmp_path / "t.csv")
        same(read_table(path), table.targets, table.sources, values)
        with pytest.raises(InvalidValueError, match="ends in .csv"):
            write_table(table, tmp_path / "t.txt")

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "a header"),
            ("target,a,b\n", "a header"),
            ("target,a,b\nx,1\ny,1,2\n", "line 3: 3 cells, expected 2"),
            ("target,a,b\nx,1,two\n", "line 2: 'two' is not a number"),
            ("target,a,a\nx,1,2\n", "every name only once"),
            ("target,a\nx,1\nx,2\n", "every name only once"),
            ("a,b,c\n1,2,3\n", "1 rows without names"),
            ("a,b,c,d\n1,2\n", "4 names in the header"),
            ("target\nx\n", "values="),
        ],
    )
    def test_what_is_no_table(self, tmp_path, text, match):
        path = tmp_path / "t.csv"
        path.write_text(text)
        with pytest.raises(PyattrxError, match=match) as caught:
            read_table(path)
        assert str(path) in str(caught.value)

    def test_other_files(self, tmp_path):
        with pytest.raises(InvalidValueError, match=r"\.csv"):
            read_table(tmp_path / "t.npz")
        with pytest.raises(FileNotFoundError):
            read_table(tmp_path / "t.csv")
        (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00a")
        with pytest.raises(PyattrxError, match="UTF-8"):
            read_table(tmp_path / "t.csv")
        with pytest.raises(InvalidValueError, match="sources="):
            read_table(tmp_path / "t.csv", sources=["a"])


def python2(content):
    """The bytes that Python 2 writes: every string as bytes, protocol 2."""

    def save_str(self, text):
        data = text.encode("latin-1")
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    out = io.BytesIO()
    writer = pickle._Pickler(out, 2)
    writer.dispatch = {**pickle._Pickler.dispatch, str: save_str}
    writer.dump(content)
    return out.getvalue()


class TestPickles:
    @staticmethod
    def write(tmp_path, data):
        path = tmp_path / "table.pkl"
        path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
        return path

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize(
        "content",
        [
            ROWS,
            OrderedDict((t, OrderedDict(row)) for t, row in ROWS.items()),
            {t: {s: np.float64(v) for s, v in row.items()} for t, row in ROWS.items()},
            {t: {s: np.array([v]) for s, v in row.items()} for t, row in ROWS.items()},
            {t: np.array(list(row.values())) for t, row in ROWS.items()},
            {t: np.array(list(row.values()), dtype=">f8") for t, row in ROWS.items()},
            {t: list(row.values()) for t, row in ROWS.items()},
            {f"{s}__{t}": v for t, row in ROWS.items() for s, v in row.items()},
            {f"{s}__{t}": np.float64(v) for t, row in ROWS.items() for s, v in row.items()},
            {
                "depth__edges__depth": 9.0,
                **{f"{s}__{t}": v for t, row in ROWS.items() for s, v in row.items()},
            },
        ],
    )
    def test_forms(self, tmp_path, content, protocol):
        same(read_table(self.write(tmp_path, pickle.dumps(content, protocol))))

    @pytest.mark.parametrize(
        "content", [ROWS, {"depth": [0.1, 0.2], "edges": [0.3, 0.4]}, {"depth__depth": 0.1}]
    )
    def test_python_2(self, tmp_path, content):
        data = python2(content)
        assert any(code.name == "SHORT_BINSTRING" for code, _, _ in pickletools.genops(data))
        table = read_table(self.write(tmp_path, data))
        assert table.values[0, 0] == 0.1

    def test_arrays_and_scalars_as_python_2_wrote_them(self, tmp_path):
        """Written out by hand: NumPy 1 under Python 2, protocol 2, binary data as text."""
        row = np.array([0.1, 0.2]).tobytes()
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10" + row + b"tb"
        )
        scalar = (
            b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08"
            + np.float64(0.7).tobytes()
            + b"\x86R"
        )
        path = self.write(tmp_path, b"\x80\x02}(U\x01x" + array + b"U\x01y" + array + b"u.")
        same(read_table(path, sources=["p", "q"]), "xy", "pq", [[0.1, 0.2], [0.1, 0.2]])
        path = self.write(tmp_path, b"\x80\x02}U\x04p__x" + scalar + b"s.")
        same(read_table(path), "x", "p", [[0.7]])

    def test_what_is_missing_is_nan(self, tmp_path):
        content = {"a": {"b": 1, "c": None}, "b": {"a": 2.5, "c": 3}}
        nan = np.nan
        table = read_table(self.write(tmp_path, content))
        same(table, "ab", "bca", [[1, nan, nan], [nan, 3, 2.5]])

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ([1, 2], "a mapping"),
            ({}, "a mapping"),
            ({1: {"a": 2}}, "a mapping"),
            ({"a": 1.0}, "SOURCE__TARGET"),
            ({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0]}, "an array of 2 sources"),
            ({"a": {"b": "text"}}, "a number"),
            ({"a": {"b": [1.0, 2.0]}}, "a number"),
        ],
    )
    def test_what_is_no_table(self, tmp_path, content, match):
        with pytest.raises(PyattrxError, match=match):
            read_table(self.write(tmp_path, content))

    @pytest.mark.parametrize("data", [b"", b"text", pickle.dumps(ROWS)[:-20], b"\x80\x02Pid\n."])
    def test_damage(self, tmp_path, data):
        with pytest.raises(PyattrxError, match="not a pickle, or damaged"):
            read_table(self.write(tmp_path, data))


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class TestHarm:
    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (Runs(os.mkdir, "made"), "mkdir"),
            (Runs(eval, "open('made', 'w')"), "eval"),
            (Runs(getattr, "text", "upper"), "builtin.*getattr"),
            (Runs(np.load, "x.npy", None, True), "load"),
            (Fraction(1, 2), "fractions.Fraction"),
            ({"a": pd.DataFrame({"b": [1]})}, "pandas|copy_reg"),
            ({"a": np.array([None], dtype=object)}, "dtype"),
            ({"a": np.zeros(2, dtype=[("x", "f8")])}, "dtype"),
            ({"a": np.ma.masked_array([1.0])}, "numpy.ma"),
            (np.random.default_rng(0), "numpy.random"),
        ],
    )
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_imports_are_refused_by_name(self, tmp_path, monkeypatch, content, named, protocol):
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "bad.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(UntrustedError, match=named):
            read_table(path)
        assert os.listdir(tmp_path) == ["bad.pkl"]

    @pytest.mark.parametrize(
        "data",
        [
            b"cposix\nsystem\n(S'mkdir made'\ntR.",
            b"c__builtin__\nexec\n(S'import os'\ntR.",
            b"c__builtin__\nstr.__class__\n.",
            b"\x80\x04\x8c\x05numpy\x8c\x0dos.path.isdir\x93.",
            b"\x80\x04\x8c\x05numpy\x8c\x16ndarray.__subclasses__\x93.",
            b"cnumpy.core.multiarray\n__loader__\n.",
            b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
            b"c__main__\n__builtins__\n.",
            b"(S'x'\nios\nsystem\n.",
        ],
    )
    def test_written_by_hand(self, tmp_path, monkeypatch, data):
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "bad.pkl"
        path.write_bytes(data)
        with pytest.raises(UntrustedError, match="wants to import"):
            read_pickle(path)
        assert os.listdir(tmp_path) == ["bad.pkl"]

    def test_arrays_of_other_classes_cannot_be_made(self, tmp_path):
        path = tmp_path / "bad.pkl"
        path.write_bytes(
            b"cnumpy.core.multiarray\n_reconstruct\n(c__builtin__\ndict\n(I0\ntS'b'\ntR."
        )
        with pytest.raises(UntrustedError, match="dict"):
            read_pickle(path)

    def test_what_is_read_has_plain_types(self, tmp_path):
        array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        content = {
            "a": [1, 2.5, True, None, b"x", b"", ("t", {3}, frozenset({4}))],
            "b": bytearray(b"y"),
            "c": (array, [array[0], np.array(["u", "vw"]), np.array([True, False])]),
            "d": np.arange(3, dtype=">i2"),
            "e": [np.float32(0.1), np.str_("w"), np.array(7)],
        }
        for protocol in range(6):
            path = tmp_path / "good.pkl"
            path.write_bytes(pickle.dumps(content, protocol))
            found = read_pickle(path)
            assert found["a"] == content["a"]
            assert found["b"] == b"y"
            np.testing.assert_array_equal(found["c"][0], array)
            for mine, given in zip(found["c"][1], content["c"][1], strict=True):
                np.testing.assert_array_equal(mine, given)
            assert found["d"].tolist() == [0, 1, 2]
            assert found["e"] == content["e"]
            assert type(found["e"][0]) is np.float32

    @pytest.mark.parametrize(
        "build",
        [
            b"cnumpy\ndtype\n(N}S'code'\nS'x'\nstb.",  # attributes of a function
            b"cnumpy\nndarray\n(N}S'content'\nI1\nstb.",  # of a class of this package
            b"c__builtin__\nset\n(N}S'x'\nI1\nstb.",  # of a built-in class
            b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'<'\nN(S'x'\nt}I8\nI8\nI0\ntb.",  # fields
        ],
    )
    def test_nothing_that_stays_can_be_changed(self, tmp_path, build):
        path = tmp_path / "bad.pkl"
        path.write_bytes(build)
        before = dict(vars(_Array))
        with pytest.raises(PyattrxError):
            read_pickle(path)
        assert dict(vars(_Array)) == before
