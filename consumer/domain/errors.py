"""Everything that can go wrong, and whose fault it is.

The class decides what happens to the message; nobody looks at texts::

    BucketOcrError
    ├── SettingsError          the operator's: refuse to start, exit 2
    ├── MalformedMessageError  the sender's: not deleted, the redrive policy takes it
    ├── DocumentError          the document's: a FAILURE result is stored, the message deleted
    ├── PageError              one page's: the document goes on and ends PARTIAL
    ├── SourceGoneError        the source was deleted: nothing to do, the message deleted
    ├── SourceChangedError     the source was overwritten while in work: read again from the start
    ├── ConflictError          somebody else wrote the result meanwhile: look again
    └── PassingError           storage, network, capacity: tried again later
        ├── ServiceError       a service refused
        │   └── UnavailableError   it failed, was too busy, or did not answer
        ├── ChildError         a child process died, hung or spoke nonsense
        └── MachineError       the machine's: an engine that cannot be started, a broken disk
            ├── UnfitError     a child says that settings, or what is installed, keep it from working
            └── NoRoomError    a file does not fit on the disk
"""

import errno
from enum import StrEnum
from typing import Final

#: What the operating system says where a disk, or one's share of it, is full.
DISK_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Code(StrEnum):
    """The closed list of public codes in `error` and `warnings[].code` of a result."""

    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    EMPTY_FILE = "EMPTY_FILE"
    CORRUPT_DOCUMENT = "CORRUPT_DOCUMENT"
    ENCRYPTED = "ENCRYPTED"
    TOO_LARGE = "TOO_LARGE"
    TOO_MANY_PAGES = "TOO_MANY_PAGES"
    PAGE_DOWNSCALED = "PAGE_DOWNSCALED"
    PAGE_UNREADABLE = "PAGE_UNREADABLE"
    RENDER_TIMEOUT = "RENDER_TIMEOUT"
    RENDER_CRASH = "RENDER_CRASH"
    ENGINE_TIMEOUT = "ENGINE_TIMEOUT"
    ENGINE_CRASH = "ENGINE_CRASH"
    ENGINE_ERROR = "ENGINE_ERROR"
    INVALID_OPTIONS = "INVALID_OPTIONS"
    RETRIES_EXHAUSTED = "RETRIES_EXHAUSTED"

    @property
    def retryable(self) -> bool:
        """Whether the same document may succeed if it is simply tried again."""
        return self is Code.RETRIES_EXHAUSTED


class BucketOcrError(Exception):
    """Base of all errors of this project; never raised itself."""


class SettingsError(BucketOcrError):
    """The settings are missing, unreadable or contradict each other; the text names the setting."""


class MalformedMessageError(BucketOcrError):
    """A message body, or one record of it, is in none of the accepted forms."""


class _CodedError(BucketOcrError):
    """Base of the errors that readers of a result see; never raised itself."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class DocumentError(_CodedError):
    """The document can never be read; `code` says why and `message` is written into its result."""


class PageError(_CodedError):
    """One page can never be read; `code` and `message` go into the page and a warning of the result."""


class SourceGoneError(BucketOcrError):
    """The source object does not exist (any more)."""


class SourceChangedError(BucketOcrError):
    """The source is no longer the object that was looked at."""


class ConflictError(BucketOcrError):
    """A conditional put was refused: the result is not what it was when it was looked at."""


class TransientError(BucketOcrError):
    """Nothing is wrong with the document; later the same thing may work."""


class ServiceError(TransientError):
    """A service refused, or worse; the text names the operation and the object."""


class UnavailableError(ServiceError):
    """A service failed, was too busy or could not be reached; it says nothing about what was asked for."""


class ChildError(TransientError):
    """A child process died, did not answer in time, or sent what cannot be understood."""


class HostError(TransientError):
    """The machine cannot do the work now; it says nothing about any document."""


class StartupError(HostError):
    """A child cannot be built from these settings and what is installed."""


class DiskFullError(HostError):
    """There is no room in the work folder for a file of `needed_bytes`."""

    def __init__(self, message: str, needed_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
