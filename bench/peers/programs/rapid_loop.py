"""RapidOCR in a loop over files: `rapid_loop.py [--weights FOLDER --characters FILE]`.

The options are for rapidocrlite: the folder of RapidOCR's networks, and the characters of its recogniser.
"""

import argparse
from pathlib import Path

from bench.peers.programs.rapid import Reader
from bench.peers.programs.rounds import Answers, rounds


def main() -> None:
    """Read round after round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--characters", type=Path)
    arguments = parser.parse_args()
    reader = Reader(_params(arguments.weights, arguments.characters) if arguments.weights else None)
    answers = Answers()
    for paths in rounds():
        for path in paths:
            answers.put(path.name, reader.text(path.read_bytes()))


def _params(weights: Path, characters: Path) -> dict[str, str]:
    """Name each network by its path, so that none of those that come with the engine is used."""
    networks = {
        "Det.model_path": "PP-OCRv6_det_small.onnx",
        "Rec.model_path": "PP-OCRv6_rec_small.onnx",
        "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    }
    paths = {name: str(weights / file) for name, file in networks.items()}
    return paths | {"Rec.rec_keys_path": str(characters)}


if __name__ == "__main__":
    main()
