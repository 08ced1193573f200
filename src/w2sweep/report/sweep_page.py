"""One page with everything of a sweep on it. It can be read without its script, which sorts and
filters."""

from __future__ import annotations

from collections.abc import Sequence

from w2sweep.report.climb import Climb
from w2sweep.report.diagnosis import diagnostics_table, elsewhere_table
from w2sweep.report.drawing import Drawing
from w2sweep.report.examples import cards
from w2sweep.report.links import origins
from w2sweep.report.outcomes import outcomes
from w2sweep.report.provenance import Provenance
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import climb_tables, columns, legend, over
from w2sweep.report.templates import render
from w2sweep.report.transfer import Transfers
from w2sweep.report.transfer_tables import gain_table, law_table
from w2sweep.report.zoo import zoo
from w2sweep.report.zoo_tables import column_table, zoo_table
from w2sweep.results.sweep_folder import SweepFolder


def sweep_page(
    sweep: SweepFolder,
    rows: Sequence[SummaryRow],
    climbs: Sequence[Climb],
    transferred: Transfers | None,
    drawings: Sequence[Drawing],
) -> str:
    """The page's HTML."""
    provenance, many = Provenance(sweep), zoo(rows)
    return render(
        "sweep.html",
        drawings,
        sweep=sweep,
        outcomes=outcomes(rows),
        provenance=provenance,
        rows=rows,
        columns=columns(rows),
        legend=legend(rows),
        origins=origins(sweep, provenance),
        cards=cards(sweep.results),
        diagnostics=diagnostics_table(rows),
        elsewhere=elsewhere_table(rows),
        climbs=climb_tables(climbs, rows),
        laws=law_table(transferred) if transferred else None,
        gains=gain_table(transferred) if transferred else None,
        zoo=zoo_table(many) if many else None,
        zoo_columns=column_table(many) if many else None,
        climb_over=over(climb.seeds for climb in climbs),
    )
