from __future__ import annotations

import chess
import numpy as np
import pytest

from w2sweep.lab.chess import Endgames, MateInOne
from w2sweep.lab.endgames import PIECES, SYMMETRIES, Positions
from w2sweep.tasks import Completion, Example
from w2sweep.values import ConfigError


@pytest.fixture(scope="module")
def positions() -> Positions:
    return Positions.draw(np.random.default_rng(0), 1500, "QRBN")


def board(positions: Positions, row: int) -> chess.Board:
    b = chess.Board(None)
    for piece, square in zip(positions.pieces[row], positions.squares[row], strict=False):
        b.set_piece_at(int(square), chess.Piece.from_symbol(PIECES[piece]))
    b.set_piece_at(int(positions.squares[row, 3]), chess.Piece.from_symbol("k"))
    return b


def test_moves_are_those_of_python_chess(positions):
    moves = positions.moves()
    assert len(positions) > 500
    for row in range(len(positions)):
        b, own = board(positions, row), moves.position == row
        assert b.is_valid()
        expected = {}
        for m in list(b.legal_moves):
            b.push(m)
            expected[m.from_square, m.to_square] = (b.is_check(), b.is_checkmate())
            b.pop()
        starts = positions.squares[row, moves.piece[own]]
        flags = zip(moves.check[own].tolist(), moves.mate[own].tolist(), strict=True)
        assert dict(zip(zip(starts.tolist(), moves.end[own].tolist(), strict=True), flags, strict=True)) == expected


GAMES = Endgames(seed=0, tokens=20_000)


@pytest.fixture(scope="module")
def puzzles() -> list[Example]:
    return list(MateInOne(name="mate_in_one", games=GAMES, head=Completion(max_new_tokens=4), pool=300).examples())


def read(prompt: str) -> chess.Board:
    words = prompt.split()[:-1]
    b = chess.Board(None)
    for piece, square in zip(words[::2], words[1::2], strict=True):
        b.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(piece))
    return b


def test_puzzles_have_one_mate_and_it_is_the_label(puzzles):
    for p in puzzles:
        b = read(p.views[0])
        mates = [b.san(m) for m in b.legal_moves if b.san(m).endswith("#")]
        assert mates == [str(p.label).replace(" ", "")]


def test_moves_of_the_corpus_are_legal_and_marked_rightly():
    for document in list(GAMES.documents())[:200]:
        position, move = document.split(" > ")
        b = read(f"{position} >")
        expected = {b.san(m).replace("+", " +").replace("#", " #") for m in b.legal_moves}
        san = move.replace(" ", "", 1).removesuffix(" .")
        assert san in expected


def test_no_puzzle_and_no_mirror_image_of_one_is_pretrained_on(puzzles):
    def images(prompt: str) -> set[frozenset[tuple[int, chess.Piece]]]:
        b = read(prompt)
        sides = [b, b.transform(chess.flip_diagonal)]
        sides += [s.transform(chess.flip_horizontal) for s in sides]
        sides += [s.transform(chess.flip_vertical) for s in sides]
        return {frozenset(s.piece_map().items()) for s in sides}

    seen = {frozenset(read(d.split(" > ")[0] + " >").piece_map().items()) for d in GAMES.documents()}
    assert len(images("K f2 Q b7 R e7 k d8 >")) == 8
    assert not any(images(p.views[0]) & seen for p in puzzles)
    assert len({frozenset(images(p.views[0])) for p in puzzles}) == len(puzzles)


def test_kinds_are_positions_up_to_symmetry(positions):
    turned = Positions(positions.pieces, SYMMETRIES[3][positions.squares])
    assert (turned.kinds == positions.kinds).all()
    assert len(set(positions.kinds.tolist())) > 0.9 * len(positions)


def test_legality_is_judged(puzzles):
    task = MateInOne(name="mate_in_one", games=GAMES, head=Completion())
    puzzle = Example.of("K g1 Q d1 R a7 k a8 >", label=" Q d8 #")
    assert task.judge(puzzle, " Q d8 #") == {"legality": 0.0}  # the king takes the rook
    assert task.judge(puzzle, " Q d8 +") == {"legality": 1.0}
    assert task.judge(puzzle, " Q h8") == {"legality": 0.0}
    assert all(task.judge(p, str(p.label)) == {"legality": 1.0} for p in puzzles[:20])


def test_asking_for_more_puzzles_than_are_found_is_refused(monkeypatch):
    monkeypatch.setattr("w2sweep.lab.chess.BATCH", 100)  # too few placements to find a new one every time
    few = MateInOne(name="mate_in_one", games=Endgames(seed=0, pieces="BN"), head=Completion(), pool=10**6)
    with pytest.raises(ConfigError, match="puzzles: ask for less"):
        sum(1 for _ in few.examples())
