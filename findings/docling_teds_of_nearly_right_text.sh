#!/usr/bin/env bash
# Guess: the TEDS that docling-metrics-table's `TableMetric` tells is the published one (PubTabNet, arXiv 1911.10683):
#   a cell whose text is nearly right costs nearly nothing, by the edit distance of the text.
#
# Found (docling-metrics-table 0.16.0): `TableMetric`, whose TEDS is written in C++, counts a cell with one wrong letter
#   as wrong altogether. A table with one misread letter in each of twelve cells scores as a table of other words. The
#   same package has a scorer in Python, `utils.teds.TEDScorer`, which follows the publication.
#
# Hurts: who compares tables read by OCR with this package. Its figures for text cannot be laid beside published ones,
#   and an engine that misreads one letter a cell looks like one that reads nothing. Structure alone agrees.
#
# Output seen (all cells equal; one letter wrong in each; other words; TEDS of the structure alone):
#   docling-metrics-table 0.16.0
#   equal         TableMetric 1.000   TEDScorer 1.000
#   nearly right  TableMetric 0.294   TEDScorer 0.961
#   other words   TableMetric 0.294   TEDScorer 0.250
#   structure     TableMetric 1.000   TEDScorer 1.000
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q docling-metrics-table==0.16.0 docling-metrics-core==0.14.0 apted==1.0.3 lxml==6.1.3
venv/bin/python - <<'PY'
from importlib.metadata import version

from docling_metrics_table.docling_metrics_table import TableMetric, TableMetricHTMLInputSample, TableMetricKind
from docling_metrics_table.utils.teds import TEDScorer
from lxml import html

TRUTH = [f"quarterly revenue {number}" for number in range(12)]
NEARLY = [text.replace("revenue", "revenne") for text in TRUTH]
OTHER = ["x"] * len(TRUTH)


def table(texts):
    cells = [f"<td>{text}</td>" for text in texts]
    rows = ("<tr>" + "".join(cells[start : start + 3]) + "</tr>" for start in range(0, len(cells), 3))
    return "<table>" + "".join(rows) + "</table>"


def both(texts, structure_only=False):
    truth, read = table(TRUTH), table(texts)
    sample = TableMetricHTMLInputSample(id="1", html_a=truth, html_b=read, structure_only=structure_only)
    public = TableMetric(metrics=[TableMetricKind.TEDS]).evaluate_sample(sample).teds.teds
    python = TEDScorer().teds(html.fromstring(truth), html.fromstring(read), structure_only)
    return round(public, 3), round(python, 3)


print(f"docling-metrics-table {version('docling-metrics-table')}")
scores = {
    "equal": both(TRUTH),
    "nearly right": both(NEARLY),
    "other words": both(OTHER),
    "structure": both(NEARLY, structure_only=True),
}
for name, (public, python) in scores.items():
    print(f"{name:<13} TableMetric {public:.3f}   TEDScorer {python:.3f}")
assert scores["equal"] == scores["structure"] == (1.0, 1.0)
nearly, other = scores["nearly right"], scores["other words"]
assert nearly[0] == other[0] < 0.3, "TableMetric no longer counts a nearly right cell as wrong"
assert nearly[1] > 0.95 > other[1]
print("still so")
PY
