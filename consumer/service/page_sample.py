"""Counts the pages of some documents, for an estimate of the pages of all."""

import random
import uuid
from dataclasses import dataclass
from pathlib import Path

from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import (
    ChildError,
    DocumentError,
    ServiceError,
    SourceChangedError,
    SourceGoneError,
    UnavailableError,
)
from consumer.ports import ObjectStore, Renderer
from consumer.service.source_cache import sniffed


class PageSample:
    """Keys of at most `size` of the documents that are offered, each as likely as any other.

    Algorithm R: J. S. Vitter, Random Sampling with a Reservoir, 1985. The same documents in the same order
    give the same sample, so that a plan that is made again is the same.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._offered = 0
        self._random = random.Random(0)  # noqa: S311 - nothing is kept secret by it
        self.keys: list[str] = []

    def offer(self, key: str) -> None:
        """Take a document into the sample, or leave it."""
        self._offered += 1
        if len(self.keys) < self._size:
            self.keys.append(key)
        elif (place := self._random.randrange(self._offered)) < self._size:
            self.keys[place] = key


@dataclass(frozen=True, slots=True)
class PageCounter:
    """Opens sources in a render process, in which a hostile one does no harm.

    `folder`: for downloads. Sources larger than `max_file_bytes` are not downloaded.
    """

    store: ObjectStore
    renderer: Renderer
    folder: Path
    max_file_bytes: int

    async def count(self, bucket: str, key: str) -> int | None:
        """Tell how many pages will be read of a source: none if it is gone or will get a FAILURE result.

        None if that cannot be told: S3 does not give the object (it may be archived), or the process was
        ended by it. Raises UnavailableError, HostError.
        """
        # A process keeps documents open by their paths.
        path = self.folder / f"{uuid.uuid4().hex}.counted"
        try:
            return await self._count(bucket, key, path)
        except UnavailableError:
            raise
        except (ServiceError, ChildError):
            return None
        except (DocumentError, SourceChangedError, SourceGoneError):
            return 0
        finally:
            path.unlink(missing_ok=True)

    async def _count(self, bucket: str, key: str, path: Path) -> int:
        info = await self.store.head(bucket, key)
        if info is None or info.source.size_bytes > self.max_file_bytes:
            return 0
        await self.store.download(info.source.by_etag(), path, Watchdog(SystemClock()))
        file_format = sniffed(path)
        if file_format is None:
            return 0
        async with self.renderer.open(path, file_format) as document:
            return document.page_count
