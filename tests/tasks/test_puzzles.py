"""Puzzles and games: positions as text and back, legality, what is never pretrained on."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import chess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import run, store

from w2sweep.building import made
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.stages import Text
from w2sweep.interface.data_command import composed
from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.pgn import Pgn, numbered_moves
from w2sweep.tasks.positions import board_of, prompt_of
from w2sweep.tasks.puzzles import Puzzles
from w2sweep.tasks.source import File
from w2sweep.tasks.text_file import TextFile
from w2sweep.values import ConfigError

# The opponent plays Qd8-h4; Qxh4 is not possible, the answer is a capture by the knight.
FEN, MOVES = "rnbqkbnr/pppp1ppp/8/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R b KQkq - 1 2", "d8h4 f3h4 b8c6"
SCHOLAR = "r1bqkb1r/pppp1ppp/2n2n2/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4"
HEADER = "PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags\n"


def export(path: Path, *rows: tuple[str, str, str, int, str, str]) -> str:
    lines = [
        f"{id},{fen},{moves},{rating},80,90,10,{themes},https://lichess.org/{game}/black#34,\n"
        for id, fen, moves, rating, themes, game in rows
    ]
    path.write_text(HEADER + "".join(lines))
    return str(path)


def puzzles(
    path: Path, *rows: tuple[str, str, str, int, str, str], **options: Any
) -> list[Example | Skipped]:
    task = Puzzles(name="puzzles", source=File(export(path / "puzzles.csv", *rows)), **options)
    return list(task.examples())


ROW = ("abc12", FEN, MOVES, 1500, "hangingPiece short", "game1234")


def test_the_first_move_is_the_opponents_and_the_second_the_answer(tmp_path: Path):
    [example] = puzzles(tmp_path, ROW, prompt="fen")
    assert isinstance(example, Example)
    assert example.views == ("rnb1kbnr/pppp1ppp/8/4p3/4P2q/5N2/PPPP1PPP/RNBQKB1R w KQkq - 2 3",)
    assert example.label == " Nxh4"
    [example] = puzzles(tmp_path, ROW, prompt="fen", target="uci")
    assert isinstance(example, Example)
    assert example.label == " f3h4"


def test_a_rating_is_the_difficulty_of_its_puzzle(tmp_path: Path):
    [example] = puzzles(tmp_path, ROW)
    assert isinstance(example, Example)
    assert example.difficulty == 1500
    (tmp_path / "unrated.csv").write_text(f"PuzzleId,FEN,Moves\nabc12,{FEN},{MOVES}\n")
    unrated = Puzzles(name="unrated", source=File(str(tmp_path / "unrated.csv")))
    [example] = unrated.examples()
    assert isinstance(example, Example)
    assert example.difficulty is None


def test_a_position_is_written_as_its_pieces():
    assert (
        prompt_of(chess.Board("4k3/8/8/8/8/8/P6r/K6R b - - 0 1"), "pieces")
        == "K a1 R h1 P a2 k e8 r h2 black"
    )
    board = chess.Board("r3k3/8/8/3pP3/8/8/8/4K3 w q d6 0 2")
    assert prompt_of(board, "pieces") == "K e1 P e5 k e8 r a8 p d5 castling q passant d6 white"


def random_game(seed: int, plies: int) -> chess.Board:
    board, rng = chess.Board(), random.Random(seed)
    while not board.is_game_over() and board.ply() < plies:
        board.push(rng.choice(list(board.legal_moves)))
    return board


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 80))
def test_what_is_written_can_be_read(seed: int, plies: int):
    board = random_game(seed, plies)
    for prompt in ("pieces", "fen", "game"):
        text = prompt_of(board, prompt)
        assert text is not None
        assert set(map(str, board_of(text).legal_moves)) == set(map(str, board.legal_moves))


def test_moves_of_a_game_without_what_is_said_of_them(tmp_path: Path):
    (tmp_path / "games.pgn").write_text(
        '[Site "https://lichess.org/abcdefgh"]\n\n'
        "1. e4 { [%eval 0.2] e5 } e5 (1... c5 2. Nf3 (2. c3 d5) d6) 2. Nf3 $1 Nc6!? ; also e4\n"
        "3. Bb5 a6 4. 0-0 Nge7 5. R1e1+ exd6 e.p. 6. bxa8=Q# 0-0-0 1/2-1/2\n"
    )
    [game] = Pgn(str(tmp_path / "games.pgn")).games()
    assert game.id == "abcdefgh"
    assert game.moves == [
        "e4",
        "e5",
        "Nf3",
        "Nc6",
        "Bb5",
        "a6",
        "O-O",
        "Nge7",
        "R1e1+",
        "exd6",
        "bxa8=Q#",
        "O-O-O",
    ]


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("1. e4 { good\n[%clk 0:03:00] } 1... e5 2. Nf3", "e4 e5 Nf3"),
        ('1. e4 { a\n\n[Site "x"]\n} 1... e5', "e4 e5"),
        ("1. e4 ; { not a comment\n1... e5 { but ; this } 2. d4", "e4 e5 d4"),
        ("1. e4 {[%clk 0:03:00][%eval 0.2]} e5 {[%clk 0:02:59]}", "e4 e5"),
        ("1.e4 e5 2.Nf3 2...Nc6", "e4 e5 Nf3 Nc6"),
        ("1. e4 -- 2. d4 d5", "e4"),
        ("1. e4 Z0 2. d4", "e4"),
        ("1. e4 (1. d4 -- 2. c4 (2. Nf3 {deep ( } )) e5 2. d4", "e4 e5 d4"),
        ("1. e4 e5 2. Nf3 $1 $14 Nc6!? 3. Bb5?! +- a6 N", "e4 e5 Nf3 Nc6 Bb5 a6"),
        ("1. e4$1 e5!! 2. d4 exd4e.p. 3. e8(Q)+ axb1/N#", "e4 e5 d4 exd4 e8Q+ axb1=N#"),
        ("1. e4 e5 1-0 2. d4", "e4 e5"),
        ("1. e4 e5 2. Nf3 0-1", "e4 e5 Nf3"),
        ("1. 0-0 o-o-o+ 2. 0-0-0# O-O!", "O-O O-O-O+ O-O-O# O-O"),
        ("1. e2-e4 Ng8-f6 2. N@f3 d5", "e2-e4 Ng8-f6"),
        ("% a line for some program: 1. h4\n1. e4 e5", "e4 e5"),
        ("1. e4 { never closed\n1... e5", "e4"),
    ],
)
def test_moves_are_read_as_they_are_written(tmp_path: Path, text: str, moves: str):
    other = '[Event "the next"]\n\n1. c4 *\n'
    for newline in ("\n", "\r\n"):
        whole = f'[Event "one"]\n\n{text}\n\n{other}'.replace("\n", newline)
        (tmp_path / "games.pgn").write_bytes(whole.encode())
        one, two = Pgn(str(tmp_path / "games.pgn")).games()
        assert (one.moves, two.moves) == (moves.split(), ["c4"])
        assert one.tags["Event"] == "one"


def test_only_chess_from_the_usual_position_is_read(tmp_path: Path):
    games = [
        '[FEN "4k3/8/8/8/8/8/8/4K2R w K - 0 1"]\n\n1. O-O *\n\n',
        '[Variant "Antichess"]\n\n1. e3 b5 *\n\n',
        '[Variant "Standard"] [White "Jo \\"J\\" [x]"]\n\n1. d4 *\n\n',
    ]
    (tmp_path / "games.pgn").write_text("".join(games))
    [game] = Pgn(str(tmp_path / "games.pgn")).games()
    assert (game.moves, game.tags["White"]) == (["d4"], 'Jo "J" [x]')


def test_a_game_to_pretrain_on_ends_at_its_first_illegal_move(tmp_path: Path):
    (tmp_path / "games.pgn").write_text(
        '[Event "1"]\n\n1. e4 e5 2. Ke3 d5 *\n\n[Event "2"]\n\n1. Ke2 *\n\n[Event "3"]\n\n1. c4 *\n'
        '\n[Event "4"]\n\n1. d4 -- 2. c4 *\n'
        '\n[Event "5"]\n\n1. d4 d5 2. c4 e6 3. Nc3 Nf6 4. Bg5 Be7 *\n'
    )
    whole = "1. d4 1... d5 2. c4 2... e6 3. Nc3 3... Nf6 4. Bg5 4... Be7"
    corpus = TextFile(str(tmp_path / "games.pgn"))
    cut = Skipped("the rest of a game, from a move on that is not legal")
    expected = ["1. e4 1... e5", cut, cut, "1. c4", "1. d4", cut, whole]
    assert list(corpus.documents()) == expected
    stage = Text(corpus, Tokenizer("word", context=8))
    noted = run(stage, tmp_path / "text", store(tmp_path))
    assert noted["left_out"] == {cut.reason: 3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rating": 5}, r"rating: found 5 \(int\), expected"),
        ({"rating": [2000, 1000]}, r"rating: found \[2000, 1000\], expected the lowest first"),
        ({"rating": [1, 2, 3]}, r"rating"),
        ({"themes": "mateIn1"}, r"themes: found 'mateIn1' \(str\), expected"),
        ({"themes": None}, r"themes: found None"),
    ],
)
def test_what_is_no_rating_or_theme_is_said(tmp_path: Path, given: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        made(Puzzles, {"name": "puzzles", "source": "none.csv", **given})


@pytest.mark.parametrize(
    ("content", "elo"), [("no games here", 0), ('[WhiteElo "1500"]\n\n1. e4 e5 1-0\n', 1800)]
)
def test_a_file_without_games_is_said(tmp_path: Path, content: str, elo: int):
    (tmp_path / "games.pgn").write_text(content)
    with pytest.raises(ConfigError, match=r"games\.pgn has no games"):
        list(Pgn(str(tmp_path / "games.pgn")).games(elo))


def test_every_half_move_of_a_game_is_numbered():
    board = chess.Board()
    for move in ("d4", "Nf6", "c4"):
        board.push_san(move)
    assert prompt_of(board, "game") == "1. d4 1... Nf6 2. c4 2..."  # the paper's figure 14


def test_legality_and_mates_too_are_judged():
    task = Puzzles(name="puzzles", source=File("none.csv"), prompt="fen")
    puzzle = Example.of(SCHOLAR, label=" Qxf7#")
    assert task.judge(puzzle, " Qxf7#") == {"legality": 1.0, "mates_too": 0.0}
    assert task.judge(puzzle, " Bxf7+") == {"legality": 1.0, "mates_too": 0.0}
    for nonsense in ("", " Qxg8#", " hello", " --", " 0000"):
        assert task.judge(puzzle, nonsense) == {"legality": 0.0, "mates_too": 0.0}
    two_mates = Example.of("7k/8/6K1/8/8/8/8/QR6 w - - 0 1", label=" Qa8#")
    assert task.judge(two_mates, " Rb8#") == {"legality": 1.0, "mates_too": 1.0}


def test_rating_and_theme_select_puzzles_and_the_rest_is_counted(tmp_path: Path):
    rows = [
        (f"p{n}", FEN, f"{move} f3e5", 1000 + 100 * n, themes, f"g{n}")
        for n, (move, themes) in enumerate(
            [("a7a6", "mate"), ("b7b6", "fork"), ("c7c6", "mate"), ("d7d6", "fork")]
        )
    ]
    made = puzzles(tmp_path, *rows, rating=(1100, 1300), themes=("fork", "pin"))
    assert made.count(Skipped("rating or theme not asked for")) == 2
    assert sum(isinstance(e, Example) for e in made) == 2
    made = puzzles(tmp_path, *rows, limit=3)
    assert made.count(Skipped("more puzzles than the limit")) == 1


def test_that_no_puzzle_is_left_is_said_with_the_reasons(tmp_path: Path):
    with pytest.raises(
        ConfigError,
        match=r"puzzles.csv: nothing in it can be used: 1 rating or theme not asked for",
    ):
        puzzles(tmp_path, ROW, rating=(2000, 3000))
    with pytest.raises(
        ConfigError, match=r"puzzles.csv: .*: 1 the game that led to the puzzle is not known"
    ):
        puzzles(tmp_path, ROW, prompt="game")


def test_puzzles_of_one_game_are_one_group(tmp_path: Path):
    rows = [
        ("p1", FEN, "a7a6 f3e5", 1500, "", "same"),
        ("p2", FEN, "b7b6 f3e5", 1500, "", "same"),
        ("p3", FEN, "c7c6 f3e5", 1500, "", "other"),
    ]
    groups = {e.group for e in puzzles(tmp_path, *rows) if isinstance(e, Example)}
    assert len(groups) == 2


def test_the_hub_has_had_games_as_urls_and_as_ids_with_a_place_in_them(tmp_path: Path):
    known = {"PuzzleId": "p", "FEN": FEN, "Rating": 1500, "Themes": ["short"], "OpeningTags": None}
    rows = [
        {**known, "Moves": "a7a6 f3e5", "GameId": "787zsVup/black#48", "GameUrl": None},
        {**known, "Moves": "b7b6 f3e5", "GameId": "787zsVup#53", "GameUrl": None},
        {
            **known,
            "Moves": "c7c6 f3e5",
            "GameId": None,
            "GameUrl": "https://lichess.org/787zsVup/black#48",
        },
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "puzzles.parquet")
    task = Puzzles(name="puzzles", source=File(str(tmp_path / "puzzles.parquet")))
    [exported] = puzzles(tmp_path, ("p", FEN, MOVES, 1500, "", "787zsVup"))
    assert isinstance(exported, Example)
    assert {e.group for e in task.examples() if isinstance(e, Example)} == {exported.group}


@pytest.mark.parametrize(
    ("fen", "moves", "message"),
    [
        ("rnbqkbnr/pppp b", MOVES, r"puzzles.csv, row 1, column 'FEN': illegal position"),
        ("8/8/8/8/8/8/8/K7 w - - 0 1", MOVES, r"row 1, column 'FEN': illegal position"),
        (FEN, "d8h4 a1a8", r"row 1, column 'Moves': 'a1a8' is no legal move in rnb1kbnr"),
        (FEN, "d8d1 f3h4", r"row 1, column 'Moves': 'd8d1' is no legal move"),
        (FEN, "d8h4", r"row 1, column 'Moves': fewer than two moves"),
    ],
)
def test_illegal_positions_and_moves_are_named_with_row_and_column(
    tmp_path: Path, fen: str, moves: str, message: str
):
    with pytest.raises(ConfigError, match=message):
        puzzles(tmp_path, ("p", fen, moves, 1500, "", "g"))


PGN = """[Event "x"]
[Site "https://lichess.org/game1234"]
[WhiteElo "2100"]
[BlackElo "1900"]

1. e4 {a comment} e5 2. Nf3 $1 (2. f4 exf4 (2... d5)) 2... Qh4
3. Nxh4 Nc6 1-0

[Event "y"]
[Site "https://lichess.org/other567"]
[WhiteElo "1500"]
[BlackElo "?"]

1.d4 d5 2.O-O *
"""


def test_games_are_read_with_their_tags_and_without_comments_and_variations(tmp_path: Path):
    (tmp_path / "my.pgn").write_text(PGN)
    first, second = Pgn(str(tmp_path / "my.pgn")).games()
    assert (first.id, first.elo, first.moves) == (
        "game1234",
        1900,
        ["e4", "e5", "Nf3", "Qh4", "Nxh4", "Nc6"],
    )
    assert (second.elo, second.moves) == (0, ["d4", "d5", "O-O"])
    assert [g.id for g in Pgn(str(tmp_path / "my.pgn")).games(min_elo=1800)] == ["game1234"]
    assert numbered_moves(first.moves[:3]) == "1. e4 1... e5 2. Nf3"


def test_compressed_games_are_the_same_games(tmp_path: Path):
    for name, content in (
        ("my.pgn.gz", gzip.compress(PGN.encode())),
        ("my.pgn.zst", zstandard.compress(PGN.encode())),
    ):
        (tmp_path / name).write_bytes(content)
        assert [g.id for g in Pgn(str(tmp_path / name)).games()] == ["game1234", "other567"]


def test_the_game_of_a_puzzle_becomes_its_prompt(tmp_path: Path):
    (tmp_path / "my.pgn").write_text(PGN)
    made = puzzles(
        tmp_path, ROW, (*ROW[:5], "unknown1"), prompt="game", games=str(tmp_path / "my.pgn")
    )
    assert [e.views[0] for e in made if isinstance(e, Example)] == [
        "1. e4 1... e5 2. Nf3 2... Qh4 3."
    ]
    assert made[1] == Skipped("the game that led to the puzzle is not known")


def test_puzzles_with_their_games_as_text(tmp_path: Path):
    """The schema of EleutherAI/lichess-puzzles."""
    path = tmp_path / "puzzles.parquet"
    pq.write_table(
        pa.table({"id": ["x"], "ctx": ["1. e4 1... e5 2. Nf3 2... Qh4 3."], "target": [" Nxh4"]}),
        path,
    )
    [example] = Puzzles(name="puzzles", source=File(str(path)), prompt="game").examples()
    assert isinstance(example, Example)
    assert (example.views, example.label) == (("1. e4 1... e5 2. Nf3 2... Qh4 3.",), " Nxh4")
    [example] = Puzzles(name="puzzles", source=File(str(path)), prompt="fen").examples()
    assert isinstance(example, Example)
    assert example.views[0].startswith("rnb1kbnr/pppp1ppp/8/4p3/4P2q/5N2")


@pytest.mark.parametrize("games", [None, "my.pgn"])
@pytest.mark.parametrize("prompt", ["pieces", "fen"])
def test_answers_are_never_pretrained_on(tmp_path: Path, games: str | None, prompt: Any):
    (tmp_path / "my.pgn").write_text(PGN)
    task = Puzzles(
        name="puzzles",
        source=File(export(tmp_path / "puzzles.csv", ROW)),
        prompt=prompt,
        per_game=100,
        games=Pgn(str(tmp_path / games)) if games else None,
    )
    [puzzle] = (e for e in task.examples() if isinstance(e, Example))
    documents = [d for d in task.corpus.documents() if isinstance(d, str)]
    assert documents
    assert not any(d.startswith(puzzle.views[0]) for d in documents)
    opponents = prompt_of(chess.Board(FEN), prompt)
    assert f"{opponents} Qh4" in documents  # in the same words as a puzzle and its answer
    if games:
        assert (
            len(documents) == 5 + 2
        )  # the first game without the puzzle's position, the second up to where it breaks


def test_whole_games_are_pretrained_on_but_not_those_of_puzzles(tmp_path: Path):
    (tmp_path / "my.pgn").write_text(PGN)
    source = File(export(tmp_path / "puzzles.csv", ROW))
    task = Puzzles(
        name="puzzles", source=source, prompt="game", games=Pgn(str(tmp_path / "my.pgn"))
    )
    cut = Skipped("the rest of a game, from a move on that is not legal")
    assert list(task.corpus.documents()) == ["1. d4 1... d5", cut]


def test_configurations():
    task, sizes, _, _ = composed("lichess_hard", ["data_root=/nowhere"])
    assert isinstance(task, Puzzles)
    assert (task.name, task.rating, task.prompt, sizes.test) == (
        "lichess_hard",
        (2000, 4000),
        "pieces",
        800,
    )
    task, *_ = composed(
        "lichess", ["task.source=my.csv.zst", "task.rating=[0,900]", "task.games=my.pgn.zst"]
    )
    assert isinstance(task, Puzzles)
    assert (task.source, task.rating, task.games) == (
        File("my.csv.zst"),
        (0, 900),
        Pgn("my.pgn.zst"),
    )
