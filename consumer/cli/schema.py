"""`bucket-ocr schema`: the schema of the result document."""

import json

import typer

from consumer.domain.result import ResultDocument


def schema() -> None:
    """Print the JSON Schema of the result document."""
    typer.echo(json.dumps(ResultDocument.model_json_schema(), indent=2))
