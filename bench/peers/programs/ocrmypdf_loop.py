"""OCRmyPDF with Tesseract over files, as many side by side as there are processors.

Every page is read, also one that has text: the others do so, too.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from bench.peers.programs.rounds import Answers, rounds

#: For images that do not say it.
_DPI = 150


def main() -> None:
    """Read round after round."""
    processors = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(processors) as pool, tempfile.TemporaryDirectory() as folder:
        answers = Answers()

        def read(path: Path) -> None:
            answers.put(path.name, _text(path, Path(folder)))

        for paths in rounds():
            list(pool.map(read, paths))


def _text(path: Path, folder: Path) -> str:
    sidecar = folder / f"{path.name}.txt"
    command = [str(Path(sys.executable).with_name("ocrmypdf")), "--quiet", "--jobs", "1", "--force-ocr"]
    # PDF/A costs another pass, which nobody needs for the text.
    command += ["--output-type", "pdf", "--sidecar", str(sidecar)]
    if path.suffix != ".pdf":
        with Image.open(path) as image:
            command += [] if "dpi" in image.info else ["--image-dpi", str(_DPI)]
    subprocess.run([*command, str(path), str(folder / f"{path.name}.out.pdf")], check=True)
    return sidecar.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
