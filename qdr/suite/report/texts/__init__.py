"""Numbers in prose: README.md and the pages of docs/ quote results/ through docs/claims.yaml.

The pages are plain Markdown without markers in their sentences. docs/claims.yaml lists, page by page, the words that stand
around quoted numbers, with a query in braces where each number is, for example

    "QDR has {difference derain qdr fp32-tuned:+.2f} dB"

`qdr report verify` answers the queries (`quantities`) and demands that the page says the same, however its lines are
broken; `qdr report texts` writes the numbers that moved into the page. What a sentence concludes cannot be rewritten, so a
claim may also state what has to hold ("ahead * qdr qat == 0"). Numbers that do not follow from results/ are listed with the
reason, and a number of a covered section that is neither quoted nor listed is an error: nothing is left out by oversight.

A generated table stands between `<!-- table embedded/quality/summary -->` and `<!-- /table -->`, the only markers.
"""

from __future__ import annotations

from qdr.suite.report.texts.pages import rewrite, stale

__all__ = ["rewrite", "stale"]
