"""Files of text are read as they are written: no cell changes its text, no row is lost without a word."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.errors import raises_naming

from nested_lightning.data.columns import Inputs, open_input_column
from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.reading import ReadOptions
from nested_lightning.data.sources import open_source
from nested_lightning.data.vocabulary import TextOptions
from nested_lightning.errors import DataError


def rows_of(path: Path, text: str, **options: Any) -> list[dict[str, Any]]:
    path.write_text(text, encoding=options.get("encoding", "utf-8"))
    (table,) = open_source(path, ReadOptions(**options))["train"].tables
    rows: list[dict[str, Any]] = table.rows.to_list()
    return rows


@pytest.mark.parametrize("cell", [
    "NA", "null", "None", "nan", "010110", "007", "3E1", "1E5", "TRUE", "false", "1.10", "3.00", "12345678901234567890",
    "#N/A", " owl ", "2024-01-01", "inf", "0x10", "1_000",
])  # fmt: skip
def test_every_cell_is_the_text_in_the_file(tmp_path: Path, cell: str) -> None:
    assert rows_of(tmp_path / "a.csv", f"code,n\n{cell},1\n,2\n") == [
        {"code": cell, "n": "1"},
        {"code": None, "n": "2"},
    ]
    assert rows_of(tmp_path / "a.tsv", f'code\tn\n"{cell}"\t1\n') == [{"code": cell, "n": "1"}]


def test_types_do_not_depend_on_other_rows_or_files(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("code\n" + "7\n" * 10_000 + "X1\n007\n")
    (tmp_path / "other.csv").write_text("code\n007\n")
    data = LabelledSource([tmp_path / "rows.csv", tmp_path / "other.csv"])
    assert Counter(data.labels(data.splits["train"], "code")) == {"7": 10_000, "X1": 1, "007": 2}
    (tmp_path / "rows.jsonl").write_text('{"x": [1]}\n' * 20_000 + '{"x": [1.5], "code": 7}\n')
    (table,) = open_source(tmp_path / "rows.jsonl")["train"].tables
    assert len(table.rows) == 20_001 and table.rows[-1] == {"x": [1.5], "code": "7"}


def test_json_scalars_are_text_and_lists_are_numbers(tmp_path: Path) -> None:
    lines = [
        '{"a": true, "b": 12345678901234567890, "c": 1.10, "x": [1, 2]}',
        '{"a": "True", "b": null, "c": 7.0, "x": [1.5, 2]}',
    ]
    expected = [
        {"a": "true", "b": "12345678901234567890", "c": "1.10", "x": [1.0, 2.0]},
        {"a": "True", "b": None, "c": "7", "x": [1.5, 2.0]},
    ]
    assert rows_of(tmp_path / "a.jsonl", "\n".join(lines)) == expected
    assert rows_of(tmp_path / "a.json", f"[{','.join(lines)}]") == expected
    assert rows_of(tmp_path / "b.json", '{\n"a": "NA"\n}') == [{"a": "NA"}]


def test_a_mark_that_begins_a_cell_swallows_no_rows(tmp_path: Path) -> None:
    lines = [f"place {i}\tAves" for i in range(40)]
    lines[5], lines[12], lines[17] = '"Old mill\tAves', '6" pipe\tAves', '"Old mill\tAves'
    with pytest.warns(UserWarning, match=r"line 7: a cell begins with a quotation mark.*reading.quotes"):
        rows = rows_of(tmp_path / "a.tsv", "\n".join(["locality\tclass", *lines]))
    assert len(rows) == 40 and rows[5]["locality"] == '"Old mill'
    with pytest.warns(UserWarning, match="quotation mark"):  # also of what is in the cache
        open_source(tmp_path / "a.tsv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(tmp_path / "b.tsv", "\n".join(["locality\tclass", *lines]), quotes=False) == rows


def test_rows_that_might_be_one_cell_are_named(tmp_path: Path) -> None:
    text = 'text,label\n"Old mill,a\nb,c\nwall 12",d\n'
    with pytest.warns(UserWarning, match=r"1 rows have cells in quotation marks .*\(line 2\)"):
        assert len(rows_of(tmp_path / "a.csv", text)) == 1
    assert len(rows_of(tmp_path / "b.csv", text, quotes=False)) == 3
    assert (
        rows_of(tmp_path / "c.csv", 'text,label\n"two\nlines, one ""cell""",d\n')[0]["text"] == 'two\nlines, one "cell"'
    )


def test_lines_end_only_at_line_breaks(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "a.csv", "label\r\na\u2028b\r\nc\x85d\r\n") == [
        {"label": "a\u2028b"},
        {"label": "c\x85d"},
    ]


def test_separator_and_encoding(tmp_path: Path) -> None:
    text = "text;label\nCafé, noir;owl\n"
    assert rows_of(tmp_path / "a.csv", text, separator=";", encoding="latin-1") == [
        {"text": "Café, noir", "label": "owl"}
    ]
    assert rows_of(tmp_path / "b.csv", "\ufefflabel\nowl\n") == [{"label": "owl"}]
    with raises_naming(DataError, "a.csv is not text in utf-8", "reading.encoding"):
        open_source(tmp_path / "a.csv")


def test_short_rows_and_blank_lines_are_counted(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="blank|too few") as told:
        assert rows_of(tmp_path / "a.csv", "a,b\n1\n\n2,3,\n") == [{"a": "1", "b": None}, {"a": "2", "b": "3"}]
    messages = " ".join(str(warning.message) for warning in told)
    assert "1 rows have too few cells, the rest are empty (line 2)" in messages and "1 blank lines" in messages


@pytest.mark.parametrize(("name", "text", "parts"), [
    ("a.csv", "a,b\n1,2,3\n", ["line 2", "more cells than the 2 columns", "reading.separator"]),
    ("a.csv", "a;b\n1;2\n", ["one column, 'a;b'", "reading.separator to ';'"]),
    ("a.csv", "a,a\n1,2\n", ["two columns 'a'"]),
    ("a.csv", 'a,b\n"x,1\n"y, z",2\n', ["line 2", "quotation mark", "reading.quotes"]),
    ("a.jsonl", '{"a": 1}\n{"a": \n', ["line 2", "not valid JSON"]),
    ("a.jsonl", '{"a": 1}\n[1]\n', ["line 2", "expected an object"]),
    ("a.json", '[{"a": 1}, 3]', ["item 1", "expected an object"]),
    ("a.jsonl", '{"a": [1]}\n{"a": "x"}\n', ["column 'a'", "same kind of value"]),
])  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, parts: list[str]) -> None:
    (tmp_path / name).write_text(text)
    with raises_naming(DataError, str(tmp_path / name), *parts):
        open_source(tmp_path / name)


def inputs_of(source: Any, column: str) -> Inputs:
    data = LabelledSource(source)
    return Inputs(column, None, TextOptions(), data, lambda _: (data.splits["train"], torch.tensor([0, 1])))


def test_text_becomes_numbers_only_as_an_input(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,text\n 1.5,the owl\n-2e1,2024\n")
    (tmp_path / "b.csv").write_text("x,text\nNA,7\n")
    split = open_source(tmp_path / "a.csv")["train"]
    inputs = inputs_of(tmp_path / "a.csv", "x")
    assert inputs.shape == (1,) and not inputs.awaits_vocabulary
    assert inputs.read(split, torch.tensor([0, 1])).tolist() == [[1.5], [-20.0]]
    other = open_source(tmp_path / "b.csv")["train"]
    with raises_naming(DataError, "row 0", "'x' holds NA", "neither a number"):
        inputs.read(other, torch.tensor([0]))
    texts = inputs_of(tmp_path / "a.csv", "text")
    assert texts.awaits_vocabulary and texts.shape == (200,)
    assert texts.read(other, torch.tensor([0])).dtype == torch.int32  # texts stay texts, though these look like numbers
    assert open_input_column(split, "x").read(torch.tensor([1])).tolist() == [[-20.0]]
