"""S3 locations on the command line."""

import typer

from consumer.domain import keys


def location(uri: str) -> tuple[str, str]:
    """Split s3://bucket/key; a usage error where it is not of that form."""
    try:
        return keys.parse_s3_uri(uri)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
