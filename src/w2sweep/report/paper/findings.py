"""The findings of Burns et al. 2023 that the sweeps look for, in the order of the paper."""

from __future__ import annotations

from w2sweep.report.paper.finding import Claim, Finding
from w2sweep.report.paper.measures import Who, change, gain
from w2sweep.results.cell import SUPERVISOR

NAIVE, CONFIDENCE = Who("naive"), Who("confidence")
SMALLEST = Who("naive", smallest=True)

OVERVIEW = Finding(
    title="Students exceed their supervisors",
    sweep="overview",
    figures=("overview",),
    where="figure 2, sections 1 and 4",
    paper=(
        "Students finetuned on weak labels do better than their supervisors in all three "
        "settings, and simple methods recover more: the confidence loss on NLP tasks, "
        "bootstrapping on chess, generative finetuning on reward modeling."
    ),
    claims=[
        Claim("naive student over its supervisor, points", 1, gain(NAIVE, Who(role=SUPERVISOR))),
        Claim("confidence loss over naive, points", 1, gain(CONFIDENCE, NAIVE)),
        Claim("bootstrapping over naive, points", 1, gain(Who("bootstrap"), NAIVE)),
    ],
)
CHESS_BOOTSTRAPPING = Finding(
    title="Bootstrapping on chess",
    sweep="chess_bootstrapping",
    figures=("pgr", "accuracy"),
    where="figure 5, section 4.3.1",
    paper=(
        "Naive students of chess recover less the larger they are; bootstrapping through two "
        "intermediate sizes recovers more, most for the largest students."
    ),
    claims=[
        Claim("bootstrapping over naive, points", 1, gain(Who("bootstrap"), NAIVE)),
        Claim(
            "naive PGR, largest student minus smallest",
            -1,
            change(lambda r: r.pgr, NAIVE, SMALLEST, scale=1),
        ),
    ],
)
AGREEMENT = Finding(
    title="Larger students imitate their supervisors' errors less",
    sweep="agreement",
    figures=("agreement", "misfit"),
    where="figures 8 and 9, section 5.1.3",
    paper=(
        "Agreement with the supervisor falls with the student's size, chiefly where the "
        "supervisor is wrong, and the confidence loss lowers it further there."
    ),
    claims=[
        Claim(
            "agreement on the supervisor's errors, largest student minus smallest, points",
            -1,
            change(lambda r: r.agreement_weak_wrong, NAIVE, SMALLEST),
        ),
        Claim(
            "agreement where the supervisor is right, largest student minus smallest, points",
            -1,
            change(lambda r: r.agreement_weak_right, NAIVE, SMALLEST),
        ),
        Claim(
            "agreement on the supervisor's errors, confidence loss minus naive, points",
            -1,
            change(lambda r: r.agreement_weak_wrong, CONFIDENCE, NAIVE),
        ),
    ],
)
FINDINGS = (OVERVIEW, CHESS_BOOTSTRAPPING, AGREEMENT)
