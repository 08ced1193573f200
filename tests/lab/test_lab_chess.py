from __future__ import annotations

import itertools
import re

import chess
import numpy as np
import pytest

from w2sweep.lab.chess.mates import WORDS, Games, MateInOne, kinds, listed, parse_position
from w2sweep.lab.chess.play import Ply, eligible, play
from w2sweep.lab.chess.rules import GONE, MEN, MIRRORED, Boards, Turn
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Completion

Move = tuple[int, int, str]


@pytest.fixture(scope="module")
def plies() -> list[Ply]:
    """A hundred games or so, to their end."""
    return list(itertools.islice(play(np.random.default_rng(0), skill=0.5), 5))


def board(boards: Boards, row: int) -> chess.Board:
    b = chess.Board(None)
    for man, square in zip(boards.men[row].tolist(), boards.squares[row].tolist(), strict=True):
        if square != GONE:
            b.set_piece_at(square, chess.Piece.from_symbol(MEN[man]))
    return b


def by_python_chess(b: chess.Board) -> dict[Move, tuple[bool, bool]]:
    """Legal moves: whether they give check, whether they mate."""
    found = {}
    for m in list(b.legal_moves):
        arrives = chess.piece_symbol(m.promotion or b.piece_type_at(m.from_square) or 0).upper()
        b.push(m)
        found[m.from_square, m.to_square, arrives] = (b.is_check(), b.is_checkmate())
        b.pop()
    return found


def ours(turn: Turn, row: int) -> dict[Move, tuple[bool, bool]]:
    own, steps = np.flatnonzero(turn.moves.board == row), turn.moves
    moves = zip(
        steps.start[own].tolist(),
        steps.end[own].tolist(),
        [MEN[m] for m in steps.new[own]],
        strict=True,
    )
    marks = zip(turn.check[own].tolist(), turn.mate[own].tolist(), strict=True)
    return dict(zip(moves, marks, strict=True))


def test_moves_checks_and_mates_are_those_of_python_chess(plies):
    rows = [(ply.turn, row) for ply in plies for row in range(0, len(ply.game), 6)]
    promotions = mates = 0
    for turn, row in rows:
        b = board(turn.boards, row)
        assert b.is_valid()
        expected = by_python_chess(b)
        assert ours(turn, row) == expected
        promotions += any(
            arrives == "Q" and b.piece_type_at(start) == chess.PAWN
            for start, _, arrives in expected
        )
        mates += any(mate for _, mate in expected.values())
    assert len(rows) > 300
    assert min(promotions, mates) > 10


@pytest.mark.parametrize(
    "fen",
    [
        "3k4/P6p/8/8/8/8/1r6/K7 w - - 0 1",  # a promotion that gives check
        "1r1k4/P6p/8/8/8/8/8/K7 w - - 0 1",  # and one that takes
        "k7/8/8/8/8/r1PK4/8/8 w - - 0 1",  # a pawn that is pinned
        "k7/8/8/4p3/3K4/8/8/8 w - - 0 1",  # in check by a pawn
        "k3r3/8/8/8/8/3p4/4P3/4K3 w - - 0 1",
        "7k/5Q2/6K1/8/7p/8/P7/8 w - - 0 1",
        "5k2/5P2/5K2/8/8/8/4p3/8 w - - 0 1",
    ],
)
def test_moves_of_hard_positions_are_those_of_python_chess(fen):
    b = chess.Board(fen)
    words = [
        f"{piece.symbol()}{chess.square_name(square)}" for square, piece in b.piece_map().items()
    ]
    assert ours(Turn.of(parse_position(" ".join(words) + " >")), 0) == by_python_chess(b)


def test_a_game_goes_on_from_the_move_that_was_made(plies):
    now, then = plies[0], plies[1]
    for row in range(len(then.game)):
        before = int(np.flatnonzero(now.game == then.game[row])[0])
        made = now.made[now.turn.moves.board[now.made] == before][0]
        b, steps = board(now.turn.boards, before), now.turn.moves
        b.push(
            next(
                m
                for m in b.legal_moves
                if (m.from_square, m.to_square) == (steps.start[made], steps.end[made])
            )
        )
        if not b.move_stack[0].promotion:
            assert board(then.turn.boards, row).board_fen() == b.mirror().board_fen()


def test_nobody_can_take_en_passant(plies):
    assert eligible(parse_position("pe4 ka8 Pc2 Ka1 >")).all()  # a double step lands two files away
    assert eligible(
        parse_position("ph4 ka8 Pa2 Ka1 >")
    ).all()  # nor does a line go on at the other edge
    assert not eligible(parse_position("pb4 ka8 Pc2 Ka1 >")).any()
    assert not eligible(
        parse_position("ka8 Qc2 Ka1 >")
    ).any()  # without a pawn there would be more symmetries
    assert all(eligible(ply.turn.boards).all() for ply in plies)


GAMES = Games(seed=0, tokens=20_000)


@pytest.fixture(scope="module")
def puzzles() -> list[Example]:
    return list(
        MateInOne(
            name="mate_in_one", games=GAMES, head=Completion(max_new_tokens=4), pool=300
        ).examples()
    )


def placed(prompt: str) -> chess.Board:
    return board(parse_position(prompt), 0)


def spaced(b: chess.Board, move: chess.Move) -> str:
    """A move as the lab writes it: Rdxd8# as "Rd1 d8 #"."""
    san = re.fullmatch(r"([KQRBN]?)[a-h]?[1-8]?x?([a-h][1-8](?:=[QRBN])?)([+#]?)", b.san(move))
    assert san
    return f"{san[1] or 'P'}{chess.square_name(move.from_square)} {san[2]} {san[3] or '.'}"


def test_puzzles_have_one_mate_and_it_is_the_label(puzzles):
    for p in puzzles:
        b = placed(p.views[0])
        assert [spaced(b, m) for m in b.legal_moves if b.san(m).endswith("#")] == [
            str(p.label).strip()
        ]


def test_moves_of_the_corpus_are_legal_and_marked_rightly():
    documents = list(GAMES.documents())
    for document in documents[:300]:
        position, move = document.split(" > ")
        b = placed(f"{position} >")
        assert move in {spaced(b, m) for m in b.legal_moves}
    assert 0.7 < np.mean([d.endswith("#") for d in documents]) < 0.8
    assert sum(len(d.split()) for d in documents) == pytest.approx(GAMES.tokens, abs=20)


def test_no_puzzle_and_no_mirror_image_of_one_is_pretrained_on(puzzles):
    def images(prompt: str) -> set[str]:
        b = placed(prompt)
        return {b.board_fen(), b.transform(chess.flip_horizontal).board_fen()}

    seen = {placed(d.split(" > ")[0] + " >").board_fen() for d in GAMES.documents()}
    assert not any(images(p.views[0]) & seen for p in puzzles)
    assert len({frozenset(images(p.views[0])) for p in puzzles}) == len(puzzles)


def test_a_kind_is_a_position_up_to_its_mirror_image(plies):
    boards = plies[0].turn.boards
    mirrored = Boards(boards.men, MIRRORED[boards.squares])
    assert (kinds(mirrored) == kinds(boards)).all()
    assert len(set(kinds(boards).tolist())) > 0.99 * len(boards)


def test_the_kings_are_listed_side_by_side_and_who_is_gone_at_the_end():
    boards = parse_position("Kg1 Qa1 Ph2 Ng5 kb8 pa7 qc3 pb7 >")
    assert WORDS[listed(boards)[0]].tolist() == [
        "pb7",
        "pa7",
        "qc3",
        "kb8",
        "Kg1",
        "Ph2",
        "Ng5",
        "Qa1",
    ]
    boards.squares[0, boards.men[0] == MEN.index("Q")] = GONE
    assert WORDS[listed(boards)[0]].tolist() == [
        "pb7",
        "pa7",
        "qc3",
        "kb8",
        "Kg1",
        "Ph2",
        "Ng5",
        "",
    ]


def test_the_same_seed_writes_the_same_text(puzzles):
    assert list(GAMES.documents()) == list(GAMES.documents())
    assert next(Games(seed=1, tokens=100).documents()) != next(GAMES.documents())
    fewer = MateInOne(name="mate_in_one", games=GAMES, head=Completion(max_new_tokens=4), pool=50)
    assert list(fewer.examples()) == puzzles[:50]


def test_legality_is_judged(puzzles):
    task = MateInOne(name="mate_in_one", games=GAMES, head=Completion())
    puzzle = Example.of("ka8 Kg1 Ph2 Ra7 Qd1 >", label=" Qd1 d8 #")
    assert task.judge(puzzle, " Qd1 d8 #") == {
        "legality": 1.0
    }  # no mate, but a move: the king takes the rook
    assert task.judge(puzzle, " Qd1 e8 #") == {"legality": 0.0}
    assert (
        task.judge(puzzle, " Rd1 d8")
        == task.judge(puzzle, " Qd1")
        == task.judge(puzzle, "")
        == {"legality": 0.0}
    )
    assert all(task.judge(p, str(p.label)) == {"legality": 1.0} for p in puzzles[:20])
