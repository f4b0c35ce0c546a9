"""Make the sample documents of the tests: two PDFs, a scan and a fax, and the text that is on them.

    python tests/samples/make_samples.py [FOLDER]

Firms, people and figures are invented. The same versions of PyMuPDF, Pillow and numpy always write the same
bytes. `truth.json` holds, per file and page, every string in the order it was drawn: one line of a paragraph,
one cell of a table or one label each; columns one after the other.

The texts are in `texts.txt`, under `==` and a name. There an empty line ends a paragraph; `#` is a heading,
`>` a line kept as it is, `|` a row of a table.
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image

DATE = "D:20261102090000Z"
Sample = tuple[bytes, list[list[str]]]
BOLD = {"helv": "hebo", "tiro": "tibo"}
TEXTS = Path(__file__).with_name("texts.txt")
INK, BLUE, PALE = (0.1, 0.1, 0.12), (0.13, 0.27, 0.42), (0.93, 0.95, 0.97)


class Sheet:
    """An A4 page that remembers the text drawn on it."""

    def __init__(self, doc: pymupdf.Document, font: str) -> None:
        self.page = doc.new_page(width=595, height=842)
        self.font, self.lines = font, list[str]()

    def put(self, x: float, y: float, text: str, size: float = 11, font: str = "") -> None:
        self.page.insert_text((x, y), text, fontsize=size, fontname=font or self.font, color=INK)
        self.lines.append(text)

    def rule(self, x1: float, y: float, x2: float, width: float = 0.8) -> None:
        self.page.draw_line((x1, y), (x2, y), color=BLUE, width=width)

    def table(self, rows: list[list[str]], x: float, y: float, width: float) -> float:
        edges = [x, *np.linspace(x + width * 0.34, x + width, len(rows[0])).tolist()]
        self.page.draw_rect((x, y, x + width, y + 22), color=None, fill=PALE)
        for i, row in enumerate(rows):
            font = BOLD[self.font] if i == 0 or row[0].startswith("Total") else self.font
            for j, cell in enumerate(row):
                indent = edges[j + 1] - 7 - pymupdf.get_text_length(cell, font, 10.5) if j else x + 7
                self.put(indent, y + 15 + 22 * i, cell, 10.5, font)
            self.rule(x, y + 22 * i, x + width)
        bottom = y + 22 * len(rows)
        self.rule(x, bottom, x + width)
        for edge in edges:
            self.page.draw_line((edge, y), (edge, bottom), color=BLUE, width=0.8)
        return bottom

    def flow(self, markup: str, x: float, y: float, width: float, size: float = 11) -> float:
        """Draw a text downwards from the baseline `y`; return the baseline of the next line."""
        top = y
        for block in markup.strip().split("\n\n"):
            if block.startswith("|"):
                rows = [row.strip("|").split("|") for row in block.splitlines()]
                y = self.table(rows, x, y - 8, width) + size * 2.2
                continue
            if block.startswith("#") and y > top:
                y += size * 0.5
            font, big = (BOLD[self.font], size + 2) if block.startswith("#") else (self.font, size)
            if block.startswith(">"):
                lines = [line[2:] for line in block.splitlines()]
            else:
                lines = wrap(block.removeprefix("# ").split(), font, big, width)
            for line in lines:
                self.put(x, y, line, big, font)
                y += size * 1.42
            y += size * (0.3 if block.startswith("#") else 0.7)
        return y


def wrap(words: list[str], font: str, size: float, width: float) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if pymupdf.get_text_length(longer, font, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def text(name: str) -> str:
    """Return the text of that name, markup and all."""
    parts = TEXTS.read_text(encoding="utf-8").split("== ")[1:]
    return dict(part.split("\n", 1) for part in parts)[name].strip()


def letter(doc: pymupdf.Document) -> list[Sheet]:
    sheet = Sheet(doc, "tiro")
    sheet.page.draw_circle((90, 72), 19, color=None, fill=BLUE)
    sheet.page.draw_rect((84, 62, 96, 84), color=None, fill=(1, 0.87, 0.5))
    sheet.put(122, 74, "Brackwater Lantern Works", 20, "hebo")
    sheet.put(122, 91, "14 Quarry Lane, Mosswick MW2 7QA - Telephone 01632 960 184", 9.5, "helv")
    sheet.rule(70, 108, 525, 1.2)
    y = sheet.flow(text("letter"), 70, 150, 455, 11.5)
    across = (76, 92, 98, 112, 124, 120, 136, 152, 146, 166, 188, 196, 226)
    down = (24, -16, 34, 8, -2, 26, 12, -6, 26, 14, 2, 22, 4)
    pen = [(px, y + py) for px, py in zip(across, down, strict=True)]
    for i in (0, 3, 6, 9):
        sheet.page.draw_bezier(*pen[i : i + 4], color=(0.1, 0.15, 0.5), width=1.3)
    sheet.flow("> Tomas Wrenfield\n> Head of the workshop\n\n> Enclosed: two drawings", 70, y + 52, 455, 11.5)
    return [sheet]


def report(doc: pymupdf.Document) -> list[Sheet]:
    sheets = []
    for number in (1, 2, 3):
        sheet = Sheet(doc, "helv")
        sheet.put(70, 48, "Tidemark Ferry Cooperative", 9)
        sheet.rule(70, 56, 525)
        sheets.append(sheet)
        if number == 1:
            sheet.put(70, 104, "Annual report 2025", 26, "hebo")
            y = sheet.flow(text("report 1"), 70, 146, 455)
            for name, value in {"Hollin Island": 221, "Corran": 118, "Harbour loop": 79}.items():
                end = 160 + value * 1.4
                sheet.put(70, y + 14, name)
                sheet.page.draw_rect((160, y, end, y + 20), color=None, fill=BLUE)
                sheet.put(end + 8, y + 14, str(value), 11, "hebo")
                y += 34
        elif number == 2:
            sheet.flow(text("report 2"), 70, 92, 455)
        else:
            sheet.put(70, 100, "Ashore and on board", 20, "hebo")
            sheet.flow(text("report 3 left"), 70, 136, 214)
            sheet.flow(text("report 3 right"), 311, 136, 214)
        sheet.put(272, 806, f"Page {number} of 3", 9)
    return sheets


def pdf(title: str, author: str, pages: Callable[[pymupdf.Document], list[Sheet]]) -> Sample:
    doc = pymupdf.open()
    sheets = pages(doc)
    doc.set_metadata({"title": title, "author": author, "creationDate": DATE, "modDate": DATE})
    return doc.tobytes(garbage=4, deflate=True, no_new_id=True), [sheet.lines for sheet in sheets]


def pixels(page: pymupdf.Page, x_dpi: float, y_dpi: float) -> Image.Image:
    image = page.get_pixmap(matrix=pymupdf.Matrix(x_dpi / 72, y_dpi / 72), colorspace=pymupdf.csGRAY)
    return Image.frombytes("L", (image.width, image.height), image.samples)


def scan() -> Sample:
    """Draw a delivery note that lay crooked on the glass: grey paper, a shadow on the left, noise."""
    sheet = Sheet(pymupdf.open(), "tiro")
    sheet.put(92, 92, "Orchard Vale Paper Mill", 22, "tibo")
    sheet.rule(92, 104, 503, 1.2)
    sheet.flow(text("scan"), 92, 140, 411, 12)
    flat = pixels(sheet.page, 150, 150).resize((1240, 1754))
    paper = np.asarray(flat.rotate(2.5, Image.Resampling.BICUBIC, fillcolor=150), dtype=np.float64)
    across, down = np.linspace(1, 0, 1240) ** 3, np.linspace(0, 1, 1754)[:, None] ** 2
    light = 0.9 - 0.2 * across[None, :] - 0.07 * down
    noise = np.random.default_rng(58213).normal(0, 2.2, paper.shape)
    levels = np.clip(np.rint((paper * light + noise + 14) / 12), 0, 21).astype(np.uint8) * 12
    out = io.BytesIO()
    Image.fromarray(levels).save(out, "PNG", dpi=(150, 150), optimize=True)
    return out.getvalue(), [sheet.lines]


def fax() -> Sample:
    """Draw two frames as a fax machine sends them: 1728 dots a line, pixels not square, some dirt."""
    doc, rng, frames, truth = pymupdf.open(), np.random.default_rng(1150), [], []
    for name in ("fax 1", "fax 2"):
        sheet = Sheet(doc, "helv")
        header, body = text(name).split("\n\n", 1)
        sheet.put(40, 28, header[2:], 9, "cour")
        if name == "fax 1":
            sheet.put(64, 96, "FAX MESSAGE", 24, "hebo")
            sheet.rule(64, 108, 531, 2)
        sheet.flow(body, 64, 146, 467, 12.5)
        grey = np.full((2292, 1728), 255.0)
        page = np.asarray(pixels(sheet.page, 204, 196))[:2292, :1728]
        grey[: page.shape[0], 20 : 20 + page.shape[1]] = page
        dirt = rng.random(grey.shape) < 0.00008
        frames.append(Image.fromarray((grey + rng.normal(0, 18, grey.shape) > 140) & ~dirt))
        truth.append(sheet.lines)
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], compression="group4", dpi=(204, 196))
    return out.getvalue(), truth


def main(out_dir: Path) -> None:
    """Write the samples and their `truth.json` into a folder that exists."""
    made = {
        "letter.pdf": pdf("Renewal of the pier lamps", "Brackwater Lantern Works", letter),
        "report.pdf": pdf("Annual report 2025", "Tidemark Ferry Cooperative", report),
        "scan.png": scan(),
        "fax.tiff": fax(),
    }
    for name, (data, _) in made.items():
        (out_dir / name).write_bytes(data)
    truth = {name: lines for name, (_, lines) in made.items()}
    (out_dir / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
