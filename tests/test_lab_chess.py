from __future__ import annotations

import chess
import numpy as np
import pytest

from w2sweep.lab.endgames import PIECES, Positions


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
