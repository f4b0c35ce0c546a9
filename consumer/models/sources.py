"""Sites that have models, and how a model's files are fetched from them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
import tenacity

from consumer.domain.errors import SettingsError
from consumer.models import rapidocr
from consumer.models.model import Model, Publisher

#: Longest time to connect, and between two pieces of a file.
_CONNECT_S, _READ_S = 10.0, 60.0

#: A transfer that is cut again and again is left to the next `models pull`.
_TRIES: Final = 5

_PIECE_BYTES: Final = 2**20

#: Errors of a transfer that may go on from there.
_CUT: Final = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

#: Files as their source lists them: size in bytes and SHA-256; None if the source does not say.
Files = Mapping[str, tuple[int | None, str | None]]

#: Gives RapidOCR's entry for a network.
Listing = Callable[[str], rapidocr.Listed]


@dataclass(frozen=True, slots=True)
class Source:
    """A site that has a model.

    `setting`: the variable that names a mirror of it. `fetch(folder)` fills the folder, and returns the
    revision, if there is one, and the files.
    """

    name: str
    endpoint: str
    setting: str
    fetch: Callable[[Path], tuple[str | None, Files]]


def sources_of(model: Model, listing: Listing) -> list[Source]:
    """Return the sources of a model, the configured one first; raises SettingsError."""
    # The default of its library.
    model_scope = (os.environ.get("MODELSCOPE_ENDPOINT") or "https://www.modelscope.cn").rstrip("/")
    if model.publisher is Publisher.RAPIDOCR:
        fetch = partial(_from_list, listing(model.name), model_scope)
        return [Source("modelscope", model_scope, "MODELSCOPE_ENDPOINT", fetch)]
    repository = f"{model.publisher}/{model.folder.name}"
    setting = "PADDLE_PDX_HUGGING_FACE_ENDPOINT"
    hugging_face = os.environ.get(setting) or "https://huggingface.co"
    known = {
        "huggingface": Source(
            "huggingface", hugging_face, setting, partial(_from_hugging_face, repository, hugging_face)
        ),
        "modelscope": Source(
            "modelscope", model_scope, "MODELSCOPE_ENDPOINT", partial(_from_model_scope, repository)
        ),
    }
    first = (os.environ.get("PADDLE_PDX_MODEL_SOURCE") or "huggingface").lower()
    if first not in known:
        raise SettingsError(f"PADDLE_PDX_MODEL_SOURCE={first!r}: models come from {' or '.join(known)}")
    return [known.pop(first), *known.values()]


def _from_hugging_face(repository: str, endpoint: str, folder: Path) -> tuple[str, Files]:
    from huggingface_hub import HfApi, snapshot_download

    # Without a revision, and if the hub fails, the library takes the files in the folder for all there are.
    info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True)
    snapshot_download(repository, revision=info.sha, local_dir=folder, endpoint=endpoint)
    files = info.siblings or ()
    return info.sha, {file.rfilename: (file.size, file.lfs and file.lfs.sha256) for file in files}


def _from_model_scope(repository: str, folder: Path) -> tuple[None, Files]:
    from modelscope import snapshot_download

    snapshot_download(repo_id=repository, local_dir=str(folder))
    # The library itself compares each file with the hash that the site lists.
    return None, {}


def _from_list(entry: rapidocr.Listed, endpoint: str, folder: Path) -> tuple[str, Files]:
    """Fetch the one file of an entry; the revision is the file's address at its publisher."""
    path = folder / rapidocr.FILE
    unfinished = path.with_name(f"{path.name}.incomplete")
    # The library of that site does not come with RapidOCR.
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_CUT),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.5),
        reraise=True,
    ):
        with attempt:
            _transfer(endpoint + urlsplit(entry.url).path, unfinished)
    unfinished.rename(path)
    return entry.url, {path.name: (None, entry.sha256)}


def _transfer(url: str, path: Path) -> None:
    """Fetch the bytes of a file that `path` does not hold yet; raises RequestException."""
    held_bytes = path.stat().st_size if path.exists() else 0
    # Compressed, its bytes could not be counted.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held_bytes}-"} if held_bytes else {})
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _READ_S)) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # It is complete, or another file's: its hash tells.
            return
        response.raise_for_status()
        is_rest = response.status_code == requests.codes.partial_content
        with path.open("ab" if is_rest else "wb") as file:
            for piece in response.iter_content(_PIECE_BYTES):
                file.write(piece)
