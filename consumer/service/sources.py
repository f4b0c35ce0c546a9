"""Looks at a source: is it there, and is it still the same object?"""

from consumer.domain.errors import ForbiddenError, SourceChangedError, SourceGoneError
from consumer.domain.result import Source
from consumer.ports import ObjectInfo, ObjectStore


async def describe(store: ObjectStore, bucket: str, key: str, *, is_read: bool = True) -> ObjectInfo:
    """Describe a source as it is now; raises SourceGoneError, and ServiceError if there is no such bucket.

    Of one that is not read a listing says enough if more is refused.
    """
    try:
        info = await store.head(bucket, key)
    except ForbiddenError:
        if is_read:
            raise
        info = await store.find(bucket, key)
    if info is None:
        # A bucket that does not exist (a wrong endpoint, a typo) is answered by 404 as well; taking that
        # for a deleted source would empty the queue in silence.
        await store.check_bucket(bucket)
        raise SourceGoneError(key)
    return info


async def require_unchanged(store: ObjectStore, source: Source, *, is_read: bool = True) -> None:
    """Raise SourceChangedError or SourceGoneError unless this very object is the current one."""
    current = (await describe(store, source.bucket, source.key, is_read=is_read)).source
    if (current.etag, current.version_id) != (source.etag, source.version_id):
        raise SourceChangedError(source.key)
