"""Write the characters of RapidOCR's recogniser, which are in its network, to a file, one a line."""

import sys
from importlib.resources import files
from pathlib import Path

import onnxruntime


def main() -> None:
    """Print the folder of the networks, too."""
    models = Path(str(files("rapidocr") / "models"))
    session = onnxruntime.InferenceSession(models / "PP-OCRv6_rec_small.onnx")
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    Path(sys.argv[1]).write_text("".join(f"{character}\n" for character in characters), encoding="utf-8")
    sys.stdout.write(f"{models}\n")


if __name__ == "__main__":
    main()
