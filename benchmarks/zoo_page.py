"""Writes the tables of docs/zoo.md, and its figure, from a finished sweep, so that no number on the
page was copied by hand:

    w2sweep -cn zoo seed='range(510,520)'
    python benchmarks/zoo_page.py outputs/sweeps/zoo

What stands between `<!-- NAME -->` and `<!-- end of NAME -->` is replaced; all other text is left.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2sweep.report.summary import SummaryRow, summarize
from w2sweep.report.zoo import Entry, MethodStanding, Zoo, averaged_over, entries_of, zoo
from w2sweep.report.zoo_tables import Table, column_table, points, zoo_table
from w2sweep.results.comparisons import OneOfMany, corrected
from w2sweep.results.sweep_folder import read_sweep
from w2sweep.sweep.plan import is_neutral

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = "zoo.md"
FIGURE = "![Accuracy over naive by method, over all tasks and in each](images/zoo.png)"


@dataclass(frozen=True)
class Claim:
    """What somebody has published of a method, and what it would look like here."""

    said: str
    source: str
    method: str
    beside: str
    """naive, or the method that it is said to be better than."""
    sign: int
    """1: better; 0: no better; -1: worse."""
    column: str | None = None
    """The task that it is said of; None: all of them. (Only for claims beside naive.)"""


CLAIMS = (
    Claim(
        "the confidence loss beats naive finetuning", "Burns 2023, 4.3.2", "confidence", "naive", 1
    ),
    Claim(
        "bootstrapping helps in chess", "Burns 2023, 4.3.1", "bootstrap", "naive", 1, "mate_in_one"
    ),
    Claim("reading the texts first helps", "Burns 2023, 5.2.2", "generative", "naive", 1),
    Claim("reverse KL beats forward KL", "Yao 2025", "reverse_kl", "naive", 1),
    Claim(
        "reverse cross-entropy beats cross-entropy", "Yao 2025", "reverse_cross_entropy", "naive", 1
    ),
    Claim("reverse cross-entropy for unsure labels helps", "Xu 2025", "cace", "naive", 1),
    Claim("a little reverse cross-entropy helps", "Xu 2025", "symmetric", "naive", 1),
    Claim("adaptive confidence helps", "Guo 2024", "adapt_conf", "naive", 1),
    Claim("weighing by confidence helps", "Afzali 2026", "confidence_weight", "naive", 1),
    Claim(
        "the surest labels help only under weak supervisors",
        "Burns 2023, B",
        "confidence_filter",
        "naive",
        0,
    ),
    Claim(
        "the surest labels beat as many at random",
        "Burns 2023, B",
        "confidence_filter",
        "random_filter",
        1,
    ),
    Claim("product labels: no clear gain", "Burns 2023, B", "product", "naive", 0),
    Claim("geometric mean: no gain", "Burns 2023, B", "geometric_mean", "naive", 0),
    Claim("generalized cross-entropy: no gain", "Burns 2023, B", "gce", "naive", 0),
    Claim("averaged weights: no gain", "Burns 2023, B", "ema", "naive", 0),
    Claim("LP-FT: no gain", "Burns 2023, B", "lp_ft", "naive", 0),
    Claim("a window of confidence: no gain", "EleutherAI", "window", "naive", 0),
    Claim("balanced log-odds: no gain", "EleutherAI", "balanced", "naive", 0),
    Claim("filters by a probe are worse", "EleutherAI", "probe_filter_knn", "naive", -1),
    Claim("labels of a probe are worse", "EleutherAI", "probe_relabel_knn", "naive", -1),
    Claim("a student as its own teacher: no gain", "EleutherAI", "strong_to_strong", "naive", 0),
    Claim("several supervisors help", "Sang 2024", "ensemble_seeds", "naive", 1),
    Claim("bagged supervisors help", "Xu 2025", "ensemble_bags", "naive", 1),
    Claim("learned weights of supervisors help", "Jeon 2025", "raven", "naive", 1),
    Claim("learned weights beat equal ones", "Jeon 2025", "raven", "ensemble_bags", 1),
    Claim("refined labels help", "Ye 2025", "refined", "naive", 1),
    Claim("a trust filter helps", "Uzunoglu 2026", "trust", "naive", 1),
    Claim(
        "a trust filter beats its true labels spent directly",
        "its control",
        "trust",
        "mixed_truth",
        1,
    ),
    Claim(
        "the same, where its student learns them too",
        "its control",
        "trust_and_truth",
        "mixed_truth",
        1,
    ),
    Claim("a chain of filters beats one", "Uzunoglu 2026", "trust_chain", "trust", 1),
    Claim(
        "weak labels first, then true ones, beat mixing them",
        "Mallen 2024",
        "weak_then_true",
        "mixed_truth",
        1,
    ),
    Claim("weak labels add to a few true ones", "Mallen 2024", "mixed_truth", "few_true", 1),
)


def main() -> None:
    """The command."""
    asked = argparse.ArgumentParser(description="Writes the tables of docs/zoo.md.")
    asked.add_argument("sweep", type=Path, help="the folder of a finished sweep")
    asked.add_argument("--docs", type=Path, default=DOCS, help="where the page is")
    words = asked.parse_args()
    write(words.sweep, words.docs)


def write(sweep: Path, docs: Path) -> None:
    """Writes the tables of a sweep into the page, and its figure beside. Raises ValueError where
    the sweep is no zoo, or the page lacks a place for a table."""
    cells = read_sweep(sweep)
    rows = summarize(cells)
    found = zoo(rows)
    if found is None:
        raise ValueError(f"{sweep} has too few methods beside naive to be a zoo")
    seeds = sorted({r.seed for r in cells.results})
    parts = {
        "origin": f"Seeds {seeds[0]} to {seeds[-1]}: `{what_matters(cells.command)}`.",
        "over all tasks": f"{FIGURE}\n\n{markdown(zoo_table(found))}",
        "task by task": markdown(column_table(found)),
        "claims": markdown(claim_table(found, rows)),
    }
    page = (docs / PAGE).read_text("utf-8")
    for name, text in parts.items():
        page = replaced(page, name, text)
    (docs / PAGE).write_text(page, "utf-8")
    (docs / "images").mkdir(exist_ok=True)
    shutil.copyfile(sweep / "report" / "zoo.png", docs / "images" / "zoo.png")


def what_matters(command: str) -> str:
    """A command without what changes no result: where it was run, and how."""
    return shlex.join(word for word in shlex.split(command) if not _is_how(word))


def _is_how(word: str) -> bool:
    key, given, _ = word.partition("=")
    return bool(given) and (is_neutral(key) or key.startswith("hydra"))


def replaced(page: str, name: str, text: str) -> str:
    """The page with another text in this place."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    found = re.search(re.escape(begin) + ".*?" + re.escape(end), page, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE} has no place for '{name}': it begins with {begin.strip()}")
    return page[: found.start()] + f"{begin}\n{text}\n\n{end}" + page[found.end() :]


def markdown(table: Table) -> str:
    """A table as the documentation has it."""
    headings, lines = table
    told = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in told)


def claim_table(found: Zoo, rows: Sequence[SummaryRow]) -> Table:
    """A line for each claim about methods that the sweep has. Differences to naive are those of the
    table over all tasks, or of that of single tasks; those between two other methods are a family
    of their own."""
    methods = {of.method for of in found.overall} | {"naive"}
    said = [c for c in CLAIMS if {c.method, c.beside} <= methods]
    known = [c for c in said if c.column is None or (c.method, c.column) in found.single]
    others = between([(c.method, c.beside) for c in known if c.beside != "naive"], rows)
    lines = []
    for claim in known:
        told = others.get((claim.method, claim.beside)) or _over_naive(_standing(found, claim))
        difference = points(told.estimate)
        where = f"`{claim.method}` over `{claim.beside}`"
        where += f", {claim.column}" if claim.column else ""
        lines.append([claim.said, claim.source, where, difference, verdict(told, claim.sign)])
    return ["claim", "source", "here", "points [95 %]", "seen?"], lines


def _standing(found: Zoo, claim: Claim) -> MethodStanding:
    """Beside naive, where the claim is said to hold."""
    if claim.column is not None:
        return found.single[claim.method, claim.column]
    return next(of for of in found.overall if of.method == claim.method)


def _over_naive(of: MethodStanding) -> OneOfMany:
    assert of.over_naive is not None
    return of.over_naive


def between(
    pairs: Sequence[tuple[str, str]], rows: Sequence[SummaryRow]
) -> Mapping[tuple[str, str], OneOfMany]:
    """The differences between methods, over all tasks that both have, corrected together."""
    by_method: dict[str, dict[str, Entry]] = {}
    for entry in entries_of(rows):
        by_method.setdefault(entry.method, {})[entry.column] = entry
    measures = {pair: averaged_over(_beside(*(by_method[m] for m in pair))) for pair in pairs}
    return dict(zip(measures, corrected(list(measures.values())), strict=True))


def _beside(own: Mapping[str, Entry], other: Mapping[str, Entry]) -> list[Entry]:
    """A method's entries with another method in the place of naive."""
    shared = [column for column in own if column in other]
    return [own[column].beside(other[column]) for column in shared]


def verdict(found: OneOfMany, sign: int) -> str:
    """Whether a claim is seen, after the correction."""
    value = found.estimate.value or 0.0
    direction = (value > 0) - (value < 0)
    if found.p_holm is None:
        return "not tested (one seed)"
    if sign == 0:
        if not found.told:
            return "not contradicted"
        return "contradicted: better" if direction > 0 else "no gain, even worse"
    if not found.told:
        return "not told from no difference"
    return "yes" if direction == sign else "no, the opposite"


if __name__ == "__main__":
    main()
