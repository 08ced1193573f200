"""Plans: the order of cells, and the names of their folders."""

from __future__ import annotations

from w2sweep.sweep.plan import by_new_work, folder_name


def test_a_cell_is_the_sooner_the_more_is_new_in_it():
    work = [{"a"}, {"a", "b", "c"}, {"b", "c", "d"}, set(), {"e", "f"}]
    assert by_new_work(work) == [1, 4, 2, 0, 3]


def test_a_cells_folder_is_named_by_what_changes_its_result():
    neutral = ["sweep=x", "runtime.threads=2", "tracking=none", "store=/s"]
    assert folder_name(["weak=nano", "task=a", *neutral]) == "task=a,weak=nano"
    assert folder_name([]) == "defaults"
    assert folder_name(["runtime.bf16=yes", "cache=force"]) == "defaults"
    assert folder_name(["data_root=a"]) == "data_root=a"  # other data may lie there
    assert folder_name(["+ladder.rungs.b.lr=1", "~loss.hard"]) == "ladder.rungs.b.lr=1,~loss.hard"


def test_a_cells_folder_is_safe_and_never_shared():
    names = [folder_name([f"ladder.rungs.nano.model={model}"]) for model in ("/a/b", "/a_b")]
    assert names[0] != names[1]
    assert "/" not in names[0]
    long = [folder_name([f"ladder.rungs.nano.model={'x' * n}"]) for n in (300, 301)]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 200
