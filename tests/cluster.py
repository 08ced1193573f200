"""A Slurm of one node on this machine, for tests and benchmarks: private, on ports of its own, with
no accounts and no keys. It needs the programs, and to be root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
MinJobAge=86400
Waittime=0
SlurmdTimeout=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} \
ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=15 \
PreemptMode=REQUEUE
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
"""Pre-emption as it is by default: SIGTERM first, and after a grace the end."""


def lacking() -> str | None:
    """Why there can be no cluster; None where there can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"no Slurm on this machine ({', '.join(missing)})"
    return None if os.geteuid() == 0 else "a private Slurm needs root"


@contextmanager
def cluster(folder: Path, cpus: int = 4) -> Iterator[str]:
    """A cluster that lives as long as the block, and is the one that Slurm's commands mean there.
    Its node says it has so many CPUs, whatever there are. Yields the node's name."""
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    ports = {"controller": _free_port(), "daemon": _free_port()}
    conf.write_text(CONF.format(host=host, folder=folder, cpus=cpus, **ports))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    try:
        for daemon in (["slurmctld", "-c"], ["slurmd", "-N", host]):
            subprocess.run([*daemon, "-f", str(conf)], check=True)
        _wait_for(lambda: "idle" in slurm("sinfo", "--noheader", "--format=%T"))
        yield host
    finally:
        _end(folder)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def slurm(*words: str) -> str:
    """What a command of Slurm says."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(holds, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "Slurm does not come up"
        time.sleep(0.1)


def _end(folder: Path) -> None:
    """All jobs, and the daemons."""
    slurm("scancel", "--user=root")
    _wait_quietly()
    for daemon in ("slurmd", "slurmctld"):
        with suppress(OSError, ValueError):
            _end_process(int((folder / f"{daemon}.pid").read_text()))


def _end_process(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 15
    while time.monotonic() < end and not _gone(pid):
        time.sleep(0.1)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _wait_quietly() -> None:
    for _ in range(80):
        if not slurm("squeue", "--noheader").strip():
            break
        time.sleep(0.1)
