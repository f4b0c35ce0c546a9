"""Tree-edit-distance similarity of tables: pairs of HTML as JSON in, pairs of scores out, from 0 to 1.

The second score is of the structure alone. Runs in the environment of docling-metrics-table, whose scorer in
Python follows the publication: a cell costs as much as its text is wrong. Its faster one in C++ counts a cell
with one wrong letter as all wrong.
"""

import json
import sys

from docling_metrics_table.utils.teds import TEDScorer
from lxml import html


def main() -> None:
    """Score the pairs on standard input: truth, and what was read."""
    scorer = TEDScorer()
    scores = [
        [
            scorer.teds(html.fromstring(truth), html.fromstring(read), structure_only)
            for structure_only in (False, True)
        ]
        for truth, read in json.load(sys.stdin)
    ]
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    main()
