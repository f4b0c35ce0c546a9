"""The error tree: everything that can go wrong, and whose fault it is.

The class decides what happens to the message; no code looks at the text::

    BucketOcrError
    ├── SettingsError          the operator's: refuse to start, exit 2
    ├── MalformedMessageError  the sender's: not deleted, the redrive policy takes it
    ├── DocumentError          the document's: a FAILURE result is stored, the message deleted
    ├── PageError              one page's: the document goes on and ends PARTIAL
    ├── SourceGoneError        the source was deleted: nothing to do, the message deleted
    ├── SourceChangedError     the source was overwritten while in flight: read again
    ├── ConflictError          another consumer wrote the result: look again
    └── TransientError         storage, network, capacity: tried again later
        ├── ServiceError       a service refused
        │   ├── UnavailableError   it failed, was too busy, or did not answer
        │   │   └── CredentialsError   it was not asked: there are no credentials
        │   └── ForbiddenError     rights or keys do not allow it
        ├── ChildError         a child process died, hung or sent nonsense
        └── HostError          the host's: an engine that cannot be started, a broken disk
            ├── StartupError   settings, or what is installed, keep a child process from starting
            └── DiskFullError  a file does not fit on the disk
"""

import errno
from enum import StrEnum
from typing import Final

#: Errors of a disk, or of one's quota of it, that is full.
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
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    RENDER_TIMEOUT = "RENDER_TIMEOUT"
    RENDER_CRASH = "RENDER_CRASH"
    ENGINE_TIMEOUT = "ENGINE_TIMEOUT"
    ENGINE_CRASH = "ENGINE_CRASH"
    ENGINE_ERROR = "ENGINE_ERROR"
    ARCHIVED = "ARCHIVED"
    KEY_REQUIRED = "KEY_REQUIRED"
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
    """The source is no longer the object that was described before."""


class ConflictError(BucketOcrError):
    """A conditional put was refused: the result has changed since it was described."""


class TransientError(BucketOcrError):
    """Nothing is wrong with the document; later the same thing may work."""


class ServiceError(TransientError):
    """A service refused or failed; the text names the operation and the object."""


class UnavailableError(ServiceError):
    """A service failed, was too busy or could not be reached; the object itself may be in order."""


class CredentialsError(UnavailableError):
    """There are no credentials, or a part of them; a role may have them later."""


class ForbiddenError(ServiceError):
    """A service does not allow it: a right, a policy or a key is missing, for one object or for all."""


class ChildError(TransientError):
    """A child process died, did not answer in time, or sent something that is no reply."""


class HostError(TransientError):
    """This host cannot do the work now; no document is at fault."""


class StartupError(HostError):
    """A child process cannot be started with these settings and what is installed."""


class DiskFullError(HostError):
    """The work folder has no space for a file of `needed_bytes`."""

    def __init__(self, message: str, needed_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
