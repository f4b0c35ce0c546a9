"""`bucket-ocr schema`: the schema of the result document."""

import json

import typer

from consumer.domain.result import json_schema


def schema() -> None:
    """Print the JSON Schema of the result document."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
