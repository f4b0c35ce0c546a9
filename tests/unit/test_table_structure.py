"""What SLANet_plus writes becomes cells in rows and columns."""

import cv2
import numpy as np

from consumer.child.inference import core_of
from consumer.child.page_layout.structure import TableStructure, _placed


def test_cells_take_their_places_as_in_html() -> None:
    first = ["<tr>", "<td", ' rowspan="2"', ">", "</td>", "<td", ' colspan="2"', ">", "</td>", "</tr>"]
    tokens = ["<tbody>", *first, "<tr>", "<td></td>", "<td></td>", "</tr>", "</tbody>"]
    boxes = np.array([[n, 1, n + 5, 2, n + 5, 7, n, 6] for n in range(len(tokens))], np.float32)
    cells = list(_placed(tokens, boxes))
    assert [(cell.row, cell.column, cell.rows, cell.columns) for cell in cells] == [
        (0, 0, 2, 1),
        (0, 1, 1, 2),
        (1, 1, 1, 1),
        (1, 2, 1, 1),
    ]
    assert [cell.box for cell in cells] == [(n, 1, n + 5, 7) for n in (2, 6, 12, 13)]


def test_the_network_sees_the_rows_and_columns_of_a_drawn_table() -> None:
    page = np.full((260, 620, 3), 255, np.uint8)
    for row in range(4):
        for column in range(3):
            left, top = 10 + 200 * column, 10 + 60 * row
            cv2.rectangle(page, (left, top), (left + 200, top + 60), (0, 0, 0), 2)
            cv2.putText(page, f"r{row} c{column}", (left + 40, top + 40), 0, 1.0, (0, 0, 0), 2)
    cells = TableStructure(core_of(1)).read(page, lambda: None)
    assert [(cell.row, cell.column) for cell in cells] == [(n // 3, n % 3) for n in range(12)]
    for cell in cells:
        x1, y1, x2, y2 = cell.box
        middle = (10 + 200 * cell.column + 100, 10 + 60 * cell.row + 30)
        assert x1 < middle[0] < x2
        assert y1 < middle[1] < y2
