"""The other outputs of sources in the bucket: what is there, and how new ones get there.

Several objects cannot be put at once. So outputs are put before their result, which records them by a digest
of their ETags. Each is put only over the object that was listed before the source was described, so no
consumer of an older source replaces one of a newer. A consumer that has put some, or finds a result that
records some, looks at the listing: if the outputs are not those that the result records, they are made again
from it. ARCHITECTURE.md has the argument.
"""

from collections.abc import Collection
from dataclasses import dataclass

from consumer.clock import Watchdog
from consumer.domain import keys
from consumer.domain.assembly import EncodedResult
from consumer.domain.identity import ResultHead
from consumer.domain.outputs import SEVERAL, Listing, OutputRecord, digest
from consumer.domain.result import Source
from consumer.ports import NewObject, ObjectStore


@dataclass(frozen=True, slots=True)
class OutputStore:
    """`wanted`: the outputs that this consumer writes."""

    store: ObjectStore
    wanted: Collection[str]

    async def listing(self, source: Source) -> Listing:
        """List the outputs of a source, whatever result they are of."""
        objects = self.store.list(source.bucket, source.key + keys.OUTPUT_PREFIX)
        return Listing.of(source.key, [each async for each in objects])

    async def lacking(self, source: Source, result: ResultHead) -> frozenset[str]:
        """Return the outputs that a result of this source lacks, or that are not there as it records them."""
        if not result.may_have_outputs:
            return frozenset()
        record = result.output_record
        # Nothing to look for, and nothing to look at.
        if not record.written and record.digests.keys() >= set(self.wanted):
            return frozenset()
        return frozenset(record.lacking(self.wanted, await self.listing(source)))

    async def put(
        self, result: EncodedResult, there: Listing, own: dict[str, str], watchdog: Watchdog
    ) -> OutputRecord:
        """Put the outputs of a result over those that are `there`; returns all that the result is to record.

        `own`: keys and ETags of what was put before, which is not put again while it is there; what is put is
        added. Raises ConflictError if another consumer has put one since.
        """
        source, metadata = result.head.source, ResultHead.of(result.head).metadata
        etags: dict[str, dict[str, str]] = {name: {} for name in result.head.outputs}
        for output in result.outputs:
            etag = there.of_output(output.name).get(output.key)
            if etag is None or own.get(output.key) != etag:
                new = NewObject(source.bucket, output.key, output.body, metadata, output.content_type)
                etag = own[output.key] = await self.store.put(new, watchdog, replaces=etag)
            etags[output.name][output.key] = etag
        written = {name: digest(of_output) for name, of_output in etags.items()}
        return OutputRecord({**written, **result.record.digests})

    async def remove_stale(self, result: EncodedResult) -> None:
        """Remove objects of earlier results that this one has not: of pages and tables that are gone."""
        source, own = result.head.source, {output.key for output in result.outputs}
        if names := SEVERAL & set(result.head.outputs) - result.record.digests.keys():
            there = await self.listing(source)
            stale = [key for name in sorted(names) for key in there.of_output(name) if key not in own]
            if stale:
                await self.store.delete(source.bucket, stale)
