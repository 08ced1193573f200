"""Chess positions as texts, in three ways, and back; and moves in SAN or UCI.

Burns et al. 2023, appendix A.2, writes the whole game.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from w2sweep.tasks.pgn import numbered_moves

if TYPE_CHECKING:
    import chess

Prompt = Literal["pieces", "fen", "game"]


def prompt_of(board: chess.Board, prompt: Prompt) -> str | None:
    """The position as text; None where the prompt is a game that is not known."""
    if prompt == "fen":
        return board.fen()
    return _game_prompt(board) if prompt == "game" else _pieces_prompt(board)


def board_of(prompt: str) -> chess.Board:
    """The position of a prompt, whichever way `prompt_of` wrote it."""
    import chess

    if prompt.startswith("1."):
        board = chess.Board()
        for move in prompt.split()[1:-1:2]:
            board.push_san(move)
        return board
    return chess.Board(prompt) if "/" in prompt.split()[0] else _board_of_pieces(prompt)


def _game_prompt(board: chess.Board) -> str | None:
    import chess

    replay = board.root()
    if replay.fen() != chess.STARTING_FEN:
        return None
    moves = [replay.san_and_push(move) for move in board.move_stack]
    return numbered_moves([*moves, ""]).rstrip()


def _pieces_prompt(board: chess.Board) -> str:
    """White's men, then black's, from king to pawn; special rights; who is to move."""
    import chess

    men = board.piece_map().items()
    ordered = sorted(men, key=lambda at: (not at[1].color, -at[1].piece_type, at[0]))
    words = [f"{piece.symbol()} {chess.square_name(square)}" for square, piece in ordered]
    if board.has_castling_rights(chess.WHITE) or board.has_castling_rights(chess.BLACK):
        words.append(f"castling {board.castling_xfen()}")
    if board.has_legal_en_passant() and board.ep_square is not None:
        words.append(f"passant {chess.square_name(board.ep_square)}")
    return " ".join([*words, "white" if board.turn else "black"])


def _board_of_pieces(prompt: str) -> chess.Board:
    import chess

    board = chess.Board(None)
    *men, turn = prompt.split()
    rights: dict[str, str] = {}
    for name, square in zip(men[::2], men[1::2], strict=True):
        if name in ("castling", "passant"):
            rights[name] = square
        else:
            board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(name))
    board.turn = turn == "white"
    board.set_castling_fen(rights.get("castling", "-"))
    board.ep_square = chess.parse_square(rights["passant"]) if "passant" in rights else None
    return board


def parsed(board: chess.Board, text: str) -> chess.Move | None:
    """A legal move in SAN or UCI, or None."""
    for parse in (board.parse_san, board.parse_uci):
        try:
            move = parse(text)
        except ValueError:
            continue
        return move or None  # the null move is no move
    return None
