"""Messages that used up their receives, with what became of their documents."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from consumer.domain import events
from consumer.domain.errors import Code, ServiceError, SourceGoneError, UnavailableError
from consumer.domain.result import Status
from consumer.ports import DeadLetterQueue, Message, ObjectStore, Queue
from consumer.service import inventory, sources
from consumer.service.pace import Pace

#: In the place of a code, of messages whose document has no failure as its result. The first three have none
#: at all; that of STALE is of an older source.
NO_RESULT: Final = "NO_RESULT"
REFUSED: Final = "REFUSED"
MALFORMED: Final = "MALFORMED"
STALE: Final = "STALE"
GONE: Final = "GONE"
IGNORED: Final = "IGNORED"

CODES: Final = (
    *(NO_RESULT, REFUSED, MALFORMED, STALE, GONE, IGNORED),
    *(status.value for status in Status if status is not Status.FAILURE),
    *(code.value for code in Code),
)

_Place = tuple[str, str]


class _Fate(NamedTuple):
    """What became of a source; `is_settled` if nobody waits for a result of it."""

    code: str
    is_settled: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message with the bucket and key of each source that it names.

    `code`: of the first source without a result, else of the first. `has_result`: whether each source has a
    result as it is now, or needs none; false if the message cannot be understood.
    """

    message: Message
    sources: tuple[_Place, ...]
    code: str
    has_result: bool

    def folder(self, bucket: str, prefix: str) -> str:
        """Return the start of the location of its (matching) source, to the first slash after `prefix`."""
        for its_bucket, key in self.sources:
            if not bucket or (its_bucket == bucket and key.startswith(prefix)):
                rest, slash, _ = key[len(prefix) :].partition("/")
                return f"s3://{its_bucket}/{prefix}{rest + slash if slash else ''}"
        return ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant: of these codes, with a source in that place, of that id; empty: any."""

    codes: frozenset[str] = frozenset()
    bucket: str = ""
    prefix: str = ""
    message_id: str = ""

    def has(self, letter: DeadLetter) -> bool:
        """Whether the letter is among them; keys are compared as they are, not as events encode them."""
        is_there = not self.bucket or any(
            bucket == self.bucket and key.startswith(self.prefix) for bucket, key in letter.sources
        )
        is_it = self.message_id in ("", letter.message.message_id)
        return is_there and is_it and (not self.codes or letter.code in self.codes)


@dataclass(slots=True)
class Group:
    """Dead letters of one code and folder; `example` is the id of the oldest."""

    code: str
    folder: str
    oldest_at: datetime
    example: str
    messages: int = 0
    without_result: int = 0


@dataclass(eq=False)
class DeadLetters:
    """Looks at dead letters. Each source costs two HEAD requests, however many messages name it."""

    queue: DeadLetterQueue
    store: ObjectStore
    _fates: dict[_Place, asyncio.Task[_Fate]] = field(default_factory=dict, init=False)

    async def batches(self, choice: Choice) -> AsyncGenerator[list[DeadLetter]]:
        """Yield those that were chosen, a few at a time; a list may be empty."""
        async with aclosing(self.queue.look()) as batches:
            async for messages in batches:
                letters = await asyncio.gather(*map(self._letter, messages))
                yield [letter for letter in letters if choice.has(letter)]

    async def _letter(self, message: Message) -> DeadLetter:
        found = events.parse(message.body)
        places = tuple(dict.fromkeys((job.bucket, job.key) for job in found.jobs))
        if found.malformed:
            return DeadLetter(message, places, MALFORMED, has_result=False)
        if not places:
            return DeadLetter(message, places, IGNORED, has_result=True)
        fates = await asyncio.gather(*map(self._fate, places))
        worst = min(fates, key=lambda fate: fate.is_settled)
        return DeadLetter(message, places, worst.code, worst.is_settled)

    def _fate(self, place: _Place) -> Awaitable[_Fate]:
        if place not in self._fates:
            self._fates[place] = asyncio.ensure_future(_fate(self.store, *place))
        return self._fates[place]


async def _fate(store: ObjectStore, bucket: str, key: str) -> _Fate:
    try:
        source = await sources.describe(store, bucket, key, is_read=False)
        result = await inventory.result_head(store, bucket, key)
    except SourceGoneError:
        return _Fate(GONE, is_settled=True)
    except UnavailableError:
        raise
    except ServiceError:
        return _Fate(REFUSED, is_settled=False)
    if result is None:
        return _Fate(NO_RESULT, is_settled=False)
    if not result.is_of(source.source):
        return _Fate(STALE, is_settled=False)
    return _Fate(result.code or result.status.value, is_settled=True)


async def redrive(
    letters: DeadLetters, choice: Choice, queue: Queue, pace: Pace
) -> AsyncGenerator[DeadLetter]:
    """Send the chosen ones to the queue, as new messages, and yield each that was moved.

    A new message has all its tries before it. One may be on both queues if this is killed.
    """
    async with aclosing(letters.batches(choice)) as batches:
        async for batch in batches:
            if not batch:
                continue
            messages = [letter.message for letter in batch]
            await queue.send([message.body for message in messages])
            await letters.queue.delete(messages)
            for letter in batch:
                yield letter
            await pace.done(len(batch))


async def purge(
    letters: DeadLetters, choice: Choice, *, without_result: bool, is_dry: bool
) -> AsyncGenerator[tuple[DeadLetter, bool]]:
    """Delete the chosen ones; yield each, and whether it was deleted: not if it has no result.

    `without_result`: delete those too. `is_dry`: delete none, and tell which would be.
    """
    async with aclosing(letters.batches(choice)) as batches:
        async for batch in batches:
            doomed = [letter for letter in batch if letter.has_result or without_result]
            if not is_dry:
                await letters.queue.delete([letter.message for letter in doomed])
            for letter in batch:
                yield letter, letter in doomed


class Groups:
    """Dead letters by code and by the folder below the chosen prefix."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._groups: dict[tuple[str, str], Group] = {}

    def add(self, letter: DeadLetter) -> None:
        """Count a letter."""
        name = (letter.code, letter.folder(self._choice.bucket, self._choice.prefix))
        sent_at, message_id = letter.message.sent_at, letter.message.message_id
        group = self._groups.setdefault(name, Group(*name, sent_at, message_id))
        group.messages += 1
        group.without_result += not letter.has_result
        group.oldest_at, group.example = min((group.oldest_at, group.example), (sent_at, message_id))

    def largest_first(self) -> list[Group]:
        """Return the groups, the largest first."""
        return sorted(self._groups.values(), key=lambda each: (-each.messages, each.code, each.folder))
