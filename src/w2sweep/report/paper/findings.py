"""The findings of Burns et al. 2023 that the sweeps look for, in the order of the paper.

What a claim measures was written down before the seeds that docs/paper_in_the_lab.md reports were
run.
"""

from __future__ import annotations

from collections.abc import Collection

from w2sweep.experiment.stopping import ORACLE
from w2sweep.report.paper.finding import Claim, Finding
from w2sweep.report.paper.measures import (
    FAMILIES,
    Measure,
    Who,
    change,
    change_of_gain,
    each_task,
    gain,
    gain_on_errors,
    on_hardest,
)
from w2sweep.report.paper.of_transfer import TRANSFER
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR, Result

NEARLY = 5.0
"""Points by which "nearly as good" may be worse."""
NAIVE, CONFIDENCE, BOOTSTRAP = Who("naive"), Who("confidence"), Who("bootstrap")
SMALLEST = Who("naive", smallest=True)
GENERATIVE, BOTH = Who("generative"), Who("generative_both")


def above(says: str, measure: Measure, families: Collection[str] = FAMILIES) -> Claim:
    """A claim that a number is above zero on each task of some families."""
    return Claim(says, 1, each_task(measure, families))


def below(says: str, measure: Measure, families: Collection[str] = FAMILIES) -> Claim:
    """A claim that a number is below zero on each task of some families."""
    return Claim(says, -1, each_task(measure, families))


OVERVIEW = Finding(
    title="Students exceed their supervisors",
    sweep="overview",
    figures=("overview",),
    where="figure 2, sections 4.2 and 4.3",
    paper=(
        "Students finetuned on weak labels do better than their supervisors in all three "
        "settings, and simple methods recover more: the confidence loss on NLP tasks, "
        "bootstrapping on chess."
    ),
    claims=[
        above("naive student over its supervisor, points", gain(NAIVE, Who(role=SUPERVISOR))),
        above("confidence loss over naive, points", gain(CONFIDENCE, NAIVE), ["nlp"]),
        above("bootstrapping over naive, points", gain(BOOTSTRAP, NAIVE), ["chess"]),
        above(
            "confidence loss over naive, on the supervisor's errors more than elsewhere, points",
            gain_on_errors(CONFIDENCE, NAIVE),
            ["nlp"],
        ),
    ],
)
CHESS_BOOTSTRAPPING = Finding(
    title="Bootstrapping on chess",
    sweep="chess_bootstrapping",
    figures=("pgr", "accuracy"),
    where="sections 4.2 and 4.3.1",
    paper=(
        "Naive students of chess recover less the larger they are; bootstrapping through two "
        "intermediate sizes, each on a fresh set, recovers more."
    ),
    claims=[
        above("bootstrapping over naive, points", gain(BOOTSTRAP, NAIVE)),
        below(
            "naive PGR, largest student minus smallest",
            change(lambda r: r.pgr, NAIVE, SMALLEST, scale=1),
        ),
    ],
)
LAST, CONFIDENT_LAST = Who("naive_stopped"), Who("confidence_stopped")
BY_LABELS = Who("naive_stopped", "stopped_on_weak_labels")
BY_TRUTH = Who("naive_stopped", ORACLE)


def by_stopping(r: Result) -> float:
    """What stopping on the truth, an oracle, would have added."""
    return r.accuracy(ORACLE) - r.accuracy(STUDENT)


OVERFITTING = Finding(
    title="Students overfit to their supervisors' errors",
    sweep="overfitting",
    figures=("overfitting",),
    where="section 5.1.1",
    paper=(
        "Students of NLP tasks overfit to the weak labels within an epoch: stopping on the ground "
        "truth, an oracle, would add 15 points of PGR to the last step and 10 to stopping on the "
        "weak labels; with the confidence loss it adds only 5."
    ),
    claims=[
        above("oracle stop over the last step, naive, points", gain(BY_TRUTH, LAST)),
        above("stop on weak labels over the last step, naive, points", gain(BY_LABELS, LAST)),
        above("oracle stop over the stop on weak labels, naive, points", gain(BY_TRUTH, BY_LABELS)),
        below(
            "what the oracle stop adds, confidence loss minus naive, points",
            change(by_stopping, CONFIDENT_LAST, LAST),
        ),
    ],
    limits=(
        "Students train ten epochs here, for in the three of the lab's recipe nothing is lost yet; "
        "supervisors and ceilings train three."
    ),
)
AGREEMENT = Finding(
    title="Larger students imitate their supervisors' errors less",
    sweep="agreement",
    figures=("agreement",),
    where="section 5.1.3",
    paper=(
        "Agreement with the supervisor falls with the student's size, chiefly where the "
        "supervisor is wrong, and the confidence loss lowers it further, mainly there."
    ),
    claims=[
        below(
            "agreement, largest student minus smallest, points",
            change(lambda r: r.agreement, NAIVE, SMALLEST),
        ),
        below(
            "agreement on the supervisor's errors, largest student minus smallest, points",
            change(lambda r: r.agreement_weak_wrong, NAIVE, SMALLEST),
        ),
        below(
            "agreement on the supervisor's errors, confidence loss minus naive, points",
            change(lambda r: r.agreement_weak_wrong, CONFIDENCE, NAIVE),
        ),
    ],
)
FEW_WEAK = Who("few_shot_weak")
PROMPTING = Finding(
    title="Prompting against finetuning",
    sweep="prompting",
    figures=("prompting",),
    where="section 5.2.1",
    paper=(
        "Few-shot prompting with weak labels becomes competitive with finetuning for the largest "
        "students only, and finetuning with the confidence loss is better still. Students of chess "
        "with weak supervisors can fall below what the pretrained model does by itself."
    ),
    claims=[
        above("confidence loss over 5-shot weak, points", gain(CONFIDENCE, FEW_WEAK), ["nlp"]),
        below(
            "the same, largest student minus smallest, points",
            change_of_gain(CONFIDENCE, FEW_WEAK),
            ["nlp"],
        ),
        below(
            "chess: naive student over zero-shot, points", gain(NAIVE, Who("zero_shot")), ["chess"]
        ),
    ],
    limits=(
        "Models of this size learn nothing from a context of 48 tokens, in which two to four "
        "demonstrations have room; prompts are how the world's text goes on."
    ),
)
GENERATIVE_FINETUNING = Finding(
    title="Generative finetuning",
    sweep="generative",
    figures=("generative",),
    where="section 5.2.2, figure 18",
    paper=(
        "Reward models that first read all texts of their split as language models, preferences "
        "unread, recover 10 to 20 points of PGR more, against a ceiling that has read them too."
    ),
    claims=[
        above("reward: generative over naive, points", gain(GENERATIVE, NAIVE), ["reward"]),
        above(
            "elsewhere: generative over naive, points", gain(GENERATIVE, NAIVE), ["nlp", "chess"]
        ),
        above(
            "ceiling that has read over the one that has not, points",
            gain(Who("generative", "ceiling_generative"), Who("generative", CEILING)),
        ),
        above("supervisor and student have read, over naive, points", gain(BOTH, NAIVE)),
    ],
)
PROBED = Who("saliency", "ft_weak_lp_truth")
LP_TRUTH, LP_WEAK = Who("saliency", "lp_truth"), Who("saliency", "lp_weak")
SALIENCY = Finding(
    title="Finetuning on weak labels makes the truth more salient",
    sweep="saliency",
    figures=("saliency",),
    where="section 5.2.3, appendix D.2",
    paper=(
        "A linear probe with true labels reaches 72 % on pretrained features and 78 % on those of "
        "the student finetuned on weak labels, of 82 % that finetuning on the truth reaches."
    ),
    claims=[
        above(
            "probe on the truth: of the finetuned student over pretrained, points",
            gain(PROBED, LP_TRUTH),
        ),
        above(
            "the same probe over the finetuned student itself, points",
            gain(PROBED, Who("saliency")),
        ),
        above(
            "pretrained: probe on the truth over probe on weak labels, points",
            gain(LP_TRUTH, LP_WEAK),
        ),
    ],
)
EASY_TO_HARD = Finding(
    title="Easy to hard",
    sweep="easy_to_hard",
    figures=("easy_to_hard",),
    where="appendix C",
    paper=(
        "With true labels, models trained on easy examples alone do nearly as well on hard ones as "
        "models trained on as many of every difficulty."
    ),
    claims=[
        above(
            f"easy over all, true labels, hardest third, plus {NEARLY:g} points",
            on_hardest(Who("easy_truth"), Who("all_truth"), NEARLY),
        ),
    ],
    limits=(
        f"Ours: {NEARLY:g} points count as nearly as well. The pretrained model plays chess nearly "
        "as well as its ceiling, so that there any training set would do."
    ),
)


def simulated(kind: str) -> Who:
    """The naive student of a supervisor whose errors are of a kind."""
    return Who("naive", where={"supervision": kind})


RANDOM, RULE = simulated("errors_random"), simulated("errors_rule")
IMITATION = Finding(
    title="Which errors students imitate",
    sweep="imitation",
    figures=("knob",),
    where="appendix E.2",
    paper=(
        "Supervisors that are equally often wrong differ in what their students recover: errors "
        "that a student cannot or would not make itself are left out, others are imitated."
    ),
    claims=[
        above("errors at random over the real ones, points", gain(RANDOM, simulated("weak"))),
        above("errors at random over errors by a visible rule, points", gain(RANDOM, RULE)),
        above(
            "errors where the ceiling is unconfident over errors where it is surely right, points",
            gain(simulated("errors_unconfident"), simulated("errors_confident")),
        ),
    ],
)
TOLD, TOLD_CONFIDENT = Who("told_naive"), Who("told_confidence")
TRIVIAL_IMITATION = Finding(
    title="Imitation made trivial",
    sweep="trivial_imitation",
    figures=("told",),
    where="appendix E.3",
    paper=(
        "Students that are told their supervisor's label in each prompt copy it: PGR falls to "
        "about 0, of the confidence loss too (0.002 and 0.046, from about 0.2 and 0.8)."
    ),
    claims=[
        below("naive, told minus not told, points", gain(TOLD, NAIVE)),
        below("confidence loss, told minus not told, points", gain(TOLD_CONFIDENT, CONFIDENCE)),
    ],
)
FINDINGS = (
    OVERVIEW,
    CHESS_BOOTSTRAPPING,
    OVERFITTING,
    AGREEMENT,
    PROMPTING,
    GENERATIVE_FINETUNING,
    SALIENCY,
    EASY_TO_HARD,
    IMITATION,
    TRIVIAL_IMITATION,
    TRANSFER,
)
