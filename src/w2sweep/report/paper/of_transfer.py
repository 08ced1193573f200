"""What Hernandez et al. 2021 (arXiv 2102.01293) found of transfer, and the sweep that looks for
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from w2sweep.report.paper.finding import Claim, Finding
from w2sweep.report.paper.measures import of_seeds, shifted
from w2sweep.report.summary import summarize
from w2sweep.report.transfer import Gain, MixtureLaw, Transfers, transfer
from w2sweep.results.intervals import UNDEFINED, Estimate
from w2sweep.results.sweep_folder import SweepFolder

Found = Callable[[SweepFolder], Mapping[str, Estimate]]


def by_text(parameter: Callable[[MixtureLaw], Estimate]) -> Found:
    """A parameter of the law of transfer, of each text of pretraining."""

    def measured(sweep: SweepFolder) -> dict[str, Estimate]:
        found = _transfer(sweep)
        return {_text(law.mixture): parameter(law) for law in found.laws} if found else {}

    return measured


def alpha_below_one(law: MixtureLaw) -> Estimate:
    """How far D_T grows faster than D_F does: alpha - 1."""
    return of_seeds(shifted(law.law.alpha, -1), law.law.seeds) if law.law else UNDEFINED


def beta(law: MixtureLaw) -> Estimate:
    """How D_T grows with the model's size."""
    return of_seeds(law.law.beta, law.law.seeds) if law.law else UNDEFINED


def by_rung(after: Callable[[list[int]], int]) -> Found:
    """The pretrained model's loss minus that of the one from scratch, for each text of pretraining
    and each rung, `after` the fewest or the most tokens of the target."""

    def measured(sweep: SweepFolder) -> dict[str, Estimate]:
        found = _transfer(sweep)
        gains = list(found.gains) if found else []
        at = after([gain.tokens for gain in gains if gain.tokens]) if gains else 0
        return {_named(gain): _worse(gain) for gain in gains if gain.tokens == at}

    return measured


def _transfer(sweep: SweepFolder) -> Transfers | None:
    return transfer(summarize(sweep))


def _worse(gain: Gain) -> Estimate:
    """How much higher the pretrained model's loss is."""
    return of_seeds(gain.worse, len(gain.pair.adapted.losses))


def _named(gain: Gain) -> str:
    return f"{_text(gain.pair.mixture)} {gain.pair.adapted.rung}"


def _text(mixture: str) -> str:
    """The genres that were read, without the key that says so."""
    return mixture.rpartition("=")[2]


TRANSFER = Finding(
    title="Scaling laws of transfer",
    sweep="transfer",
    figures=("transfer_losses", "transfer_data", "transfer_frontier", "transfer_accuracy"),
    where="not of this paper: Hernandez et al. 2021, arXiv 2102.01293",
    paper=(
        "Pretraining is worth D_T = k D_F^alpha N^beta tokens of a target text, of which D_F are "
        "read: alpha is below 1 (.18 from text to Python), beta above 0 (.38). After many tokens "
        "small pretrained models can be worse than those from scratch (ossification)."
    ),
    claims=[
        Claim("beta", 1, by_text(beta)),
        Claim("alpha - 1", -1, by_text(alpha_below_one)),
        Claim("loss, pretrained minus scratch, fewest tokens, nats", -1, by_rung(min)),
        Claim("loss, pretrained minus scratch, most tokens, nats (ossification)", 1, by_rung(max)),
    ],
    limits="Tokens are read about once, where the paper trains on as many until the loss grows.",
)
