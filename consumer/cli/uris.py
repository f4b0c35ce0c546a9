"""S3 locations on the command line."""

import typer

from consumer.domain import keys


def shown(uri: str) -> str:
    """Escape control characters, which a key may hold, for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)


def location(uri: str) -> tuple[str, str]:
    """Split s3://bucket/key; raises a usage error for any other form."""
    try:
        return keys.parse_s3_uri(uri)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
