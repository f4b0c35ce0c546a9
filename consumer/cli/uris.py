"""S3 locations on the command line."""

import typer

from consumer.domain import keys


def shown(uri: str) -> str:
    """The location for a terminal: control characters, which a key may hold, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)


def location(uri: str) -> tuple[str, str]:
    """Split s3://bucket/key; a usage error where it is not of that form."""
    try:
        return keys.parse_s3_uri(uri)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
