"""`w2sweep-data`: pages, the table, and one line for what cannot be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2sweep.interface.data_command import known, main, table


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [f"it was {'good' if n % 2 else 'bad'} on day {n},{n % 2}" for n in range(60)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return tmp_path / "reviews.csv"


def test_a_page_shows_splits_and_examples_of_each_class(
    reviews: Path, capsys: pytest.CaptureFixture[str]
):
    main(
        [
            "csv",
            f"task.path={reviews}",
            "sizes.supervisor=20",
            "sizes.student=20",
            "sizes.validation=6",
            "sizes.test=10",
        ]
    )
    shown = capsys.readouterr().out
    assert f"# csv\n\n60 rows, {reviews}" in shown
    assert "| all |  | 60 | 60 | 50% : 50% |" in shown
    assert "| test | 10 | 10 | 10 | 50% : 50% |" in shown
    assert "Left out: 4 more than asked for." in shown
    assert shown.count("  - it was bad") == shown.count("  - it was good") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sst3"], "no task 'sst3'; there is"),
        (["sst2", "data_root=/nowhere"], "data_root=/nowhere has nothing of nyu-mll/glue"),
        (["csv"], "task.path"),
        (["sst2"], "nyu-mll/glue (sst2) cannot be loaded from the Hugging Face hub"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as exit:
        main(words)
    said = capsys.readouterr().err
    assert exit.value.code == 2
    assert message in said
    assert said.count("\n") == 1


def test_the_table_says_what_is_there_and_what_is_not(reviews: Path, tmp_path: Path):
    names = ["anli", "sentiment", "csv"]
    assert set(names) <= set(known())
    anli, sentiment, csv = list(table(names, [f"data_root={tmp_path}"]))[2:]
    assert anli.startswith("| anli |")
    assert "has nothing of facebook/anli" in anli
    assert sentiment.endswith("made here |")
    assert "task.path" in csv


def test_the_table_asks_the_hub_where_there_is_no_folder():
    [*_, sst2, note] = table(["sst2"], [])
    assert "nyu-mll/glue (sst2) cannot be loaded from the Hugging Face hub" in sst2
    assert "data_root=FOLDER" in note
