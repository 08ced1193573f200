"""How stages become jobs of Slurm: what is asked of sbatch, and what is asked only once.

There is no Slurm here: `sbatch` and `squeue` are scripts that number what they are given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from w2sweep.engine.handover import Handover, StageJob
from w2sweep.engine.queue import last_jobs, live_jobs
from w2sweep.engine.resources import Rule
from w2sweep.engine.slurm import SlurmOptions, spans, submit
from w2sweep.values import ConfigError

SBATCH = """#!/bin/sh
[ "$(wc -l < {folder}/queue)" -ge "$(cat {folder}/limit)" ] && {{
    echo "sbatch: error: Batch job submission failed: job submit limit" >&2; exit 1; }}
id=$(( $(ls {folder}/scripts | wc -l) + 1 ))
cp "$1" {folder}/scripts/$id
name=$(sed -n "s/^#SBATCH --job-name=//p" "$1" | tr -d "'")
echo "$id|PENDING|None|$name" >> {folder}/queue
echo "Submitted batch job $id"
"""
RULES = {
    "data": Rule(types=("Splits",), cpus=2, minutes=30, mem_gb=16),
    "large": Rule(cpus=8, gpus=4, minutes=600, options={"constraint": "h100"}),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a Slurm that takes a hundred jobs."""
    for name in ("bin", "scripts", "sweep", "store"):
        (tmp_path / name).mkdir()
    programs = {"sbatch": SBATCH.format(folder=tmp_path), "srun": "#!/bin/sh\n"}
    programs["squeue"] = f"#!/bin/sh\ncat {tmp_path}/queue\n"
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "queue").touch()
    (tmp_path / "limit").write_text("100")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def handover(folder: Path, *jobs: StageJob, name: str = "mine") -> Handover:
    return Handover(
        jobs=jobs,
        command=("w2sweep-stage", "-cn", "mine"),
        rules=RULES,
        name=name,
        stages=frozenset(stage for job in jobs for stage in job.stages),
        folder=folder / "sweep",
        store=folder / "store",
        report=("w2sweep", "-cn", "mine", "hydra/launcher=none"),
    )


SPLITS = StageJob("splits", ("--only", "Splits/a"), ("Splits/a",), "data", ())
SUPERVISOR = StageJob("supervisor", ("--only", "Finetune/b"), ("Finetune/b",), "large", (0,))
STUDENT = StageJob("student <- weak", ("--only", "Finetune/c"), ("Finetune/c",), "large", (0, 1))
CEILING = StageJob("ceiling", ("--only", "Finetune/d"), ("Finetune/d",), "large", (0,))
ALL = (SPLITS, SUPERVISOR, STUDENT, CEILING)


def submitted(folder: Path, *jobs: StageJob, **options: object) -> list[str]:
    """Submits; what is said."""
    said: list[str] = []
    work = handover(folder, *jobs)
    submit(lambda live: work, folder / "store", SlurmOptions(**options), said.append)  # type: ignore[arg-type]
    return said


def flags(folder: Path, id: int) -> dict[str, str]:
    """What sbatch was asked for a job."""
    text = (folder / "scripts" / str(id)).read_text()
    found = re.findall(r"^#SBATCH --([\w-]+)(?:='?(.*?)'?)?$", text, re.MULTILINE)
    return dict(found)


def test_jobs_wait_for_what_was_submitted_now_and_die_with_it(folder: Path):
    assert submitted(folder, *ALL) == ["4 stages submitted in 4 jobs, and a report: 1-5"]
    found = [flags(folder, id) for id in range(1, 6)]
    assert [its.get("dependency") for its in found] == [
        None,
        "afterok:1",
        "afterok:1:2",
        "afterok:1",
        "afterany:3:4",  # in whatever way those end that nobody waits for, the rest has ended
    ]
    assert all(its["kill-on-invalid-dep"] == "yes" for its in found)
    assert all("requeue" in its for its in found)
    assert [its["job-name"] for its in found[2:]] == [
        "student <- weak",
        "ceiling",
        "report of mine",
    ]


def test_a_job_is_given_what_its_rule_says(folder: Path):
    options = {"partition": "gpu", "account": "lab", "options": {"exclude": "node7"}}
    submitted(folder, *ALL, **options, setup=("module load cuda",), signal_delay_s=300)
    data, large, report = (flags(folder, id) for id in (1, 2, 5))
    assert (data["cpus-per-task"], data["time"], data["mem"]) == ("2", "30", "16GB")
    assert "gpus-per-node" not in data
    assert (large["cpus-per-task"], large["time"], large["gpus-per-node"]) == ("8", "600", "4")
    assert (large["constraint"], report["cpus-per-task"]) == ("h100", "1")
    for its in (data, large, report):
        assert (its["partition"], its["account"], its["exclude"]) == ("gpu", "lab", "node7")
        assert its["signal"] == "USR2@300"
    script = (folder / "scripts" / "2").read_text()
    assert "module load cuda" in script
    (run,) = [line for line in script.splitlines() if line.startswith("srun ")]
    assert " --cpus-per-task=8 " in run


def test_the_queue_knows_which_stages_jobs_are_for(folder: Path):
    submitted(folder, *ALL)
    live = live_jobs(folder / "store")
    assert [(job.id, job.stages) for job in live] == [
        ("1", ("Splits/a",)),
        ("2", ("Finetune/b",)),
        ("3", ("Finetune/c",)),
        ("4", ("Finetune/d",)),
        ("5", ()),
    ]
    assert {job.sweep for job in live} == {"mine"}
    (folder / "queue").write_text("")
    assert last_jobs(folder / "store")["Finetune/c"].id == "3"


def test_a_job_of_the_same_number_in_another_cluster_is_none_of_ours(folder: Path):
    submitted(folder, *ALL)
    (folder / "queue").write_text("2|RUNNING|None|somebody's\n3|RUNNING|None|student <- weak\n")
    (job,) = live_jobs(folder / "store")
    assert (job.id, job.runs) == ("3", True)


def test_a_second_sweep_waits_for_the_jobs_of_the_first(folder: Path):
    submitted(folder, *ALL)

    def make(live: Mapping[str, str]) -> Handover:
        assert live == {"Splits/a": "1", "Finetune/b": "2", "Finetune/c": "3", "Finetune/d": "4"}
        student = StageJob("other", (), ("Finetune/e",), "large", (), after=(live["Finetune/b"],))
        work = handover(folder, student, name="another")
        return Handover(**{**vars(work), "stages": frozenset({"Finetune/e", "Finetune/b"})})

    said: list[str] = []
    submit(make, folder / "store", SlurmOptions(), said.append)
    assert said == ["1 stages submitted in 1 jobs, and a report: 6-7"]
    assert flags(folder, 6)["dependency"] == "afterok:2"
    assert flags(folder, 7)["dependency"] == "afterany:6:2"


def test_the_same_again_submits_nothing(folder: Path):
    submitted(folder, *ALL)
    work = Handover(**{**vars(handover(folder, *ALL)), "jobs": ()})
    said: list[str] = []
    submit(lambda live: work, folder / "store", SlurmOptions(), said.append)
    assert said == []
    assert len(list((folder / "scripts").iterdir())) == 5
    # unless the job that reports is gone
    lines = (folder / "queue").read_text().splitlines()
    (folder / "queue").write_text("\n".join(lines[:-1]) + "\n")
    submit(lambda live: work, folder / "store", SlurmOptions(), said.append)
    assert flags(folder, 6)["dependency"] == "afterany:1:2:3:4"


def test_a_cluster_that_takes_no_more_jobs_is_one_line_and_the_rest_can_follow(folder: Path):
    (folder / "limit").write_text("2")
    with pytest.raises(ConfigError, match=r"takes no job: .* submit limit; 2 of 4 jobs are que"):
        submitted(folder, *ALL)
    assert [job.stages for job in live_jobs(folder / "store")] == [("Splits/a",), ("Finetune/b",)]


def test_time_for_the_checkpoint_has_to_be_there(folder: Path):
    with pytest.raises(
        ConfigError, match=r"signal_delay_s: found 1000, expected .* half of the 30"
    ):
        submitted(folder, *ALL, signal_delay_s=1000)


def test_no_slurm_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ConfigError, match='Slurm takes no job: Could not detect "srun"'):
        submitted(folder, *ALL)


def test_numbers_are_told_as_spans():
    assert spans(["4", "5", "6", "9", "11", "10"]) == "4-6, 9-11"
