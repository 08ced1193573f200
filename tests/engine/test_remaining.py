"""How long what is left of a sweep takes."""

from __future__ import annotations

from slow_stages import Train

from w2sweep.engine.remaining import UnderWay, time_left
from w2sweep.engine.stage import Stage


def left(*stages: Train, workers: int, under_way: list[UnderWay] | None = None, **more: int):
    """With as many seconds a stage as its model is large."""

    def takes(stage: Stage) -> float:
        return float(stage.size)

    return time_left(stages, under_way or [], takes, workers, **more)


def chain(*sizes: int, first: int = 0) -> list[Train]:
    found: list[Train] = []
    for n, size in enumerate(sizes):
        found.append(Train(first + n, tuple(found[-1:]), model=size))
    return found


def test_work_is_shared_out():
    alone = [Train(n, model=10) for n in range(4)]
    assert left(*alone, workers=1) == 40
    assert left(*alone, workers=2) == 20
    assert left(*alone, workers=3) == 20
    assert left(*alone, workers=9) == 10
    assert left(workers=2) == 0


def test_a_chain_takes_its_time_whoever_is_there():
    line = chain(10, 20, 30)
    others = [Train(100 + n, model=5) for n in range(4)]
    assert left(*line, *others, workers=8) == 60
    assert left(*line, *others, workers=2) == 60  # the line comes first, and the rest beside it
    assert left(*line, *others, workers=1) == 80


def test_what_is_under_way_ends_first():
    first, second = chain(50, 10)
    other = Train(9, model=30)
    running = [UnderWay([first], 8.0)]
    assert left(first, second, workers=1, under_way=running) == 18
    assert left(first, second, other, workers=2, under_way=running) == 30
    assert left(first, second, other, workers=1, under_way=running) == 48


def test_a_worker_that_has_several_stages_is_one_worker():
    pair = [Train(n, model=50) for n in range(2)]
    reader = Train(2, tuple(pair), model=5)
    running = [UnderWay(pair, 12.0)]
    assert left(*pair, reader, workers=2, under_way=running) == 17


def test_stages_that_run_together_end_together():
    """Each has its share of the call: four seconds of 16, on which its reader has to wait."""
    mates = [Train(n, model=4, mates="nano") for n in range(4)]
    reader = Train(9, (mates[0],), model=10)
    assert left(*mates, reader, workers=1, at_most=4) == 26
    assert left(*mates, reader, workers=2, at_most=4) == 18  # shared out: two calls of two
    assert left(*mates, reader, workers=4, at_most=1) == 14
