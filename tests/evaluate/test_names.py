"""Names that are no text, as those of files may be."""

import pytest

from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import Table, read_table, write_table


@pytest.mark.parametrize("name", ["caf\udce9.py:net", "\ud800", "x\udfff"])
@pytest.mark.parametrize("source", [True, False])
def test_a_table_is_not_written_with_them(tmp_path, name, source):
    names = (["a"], ["b", name]) if source else ([name], ["b", "c"])
    with pytest.raises(InvalidValueError, match="table='.*': expected names that UTF-8 can hold"):
        write_table(Table([[0.5, 1.0]], *names), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_files_may_have_such_names(tmp_path):
    path = write_table(Table([[0.5, 1.0]], ["né"], ["b", "c"]), tmp_path / "t\udce9.csv")
    assert read_table(path).targets == ("né",)
