"""Inventories of a bucket, as S3 stores them."""

import gzip
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def put_inventory(
    s3: "S3Client", source: str, lists: str, folder: str, keys: Iterable[str], file_format: str = "CSV"
) -> str:
    """Store an inventory of the bucket `source` with these keys; returns the location of its manifest.

    It lies in `folder` of the bucket `lists`: `manifest.json` and one file, `data/1`. `file_format`: CSV or
    Parquet.
    """
    if file_format == "CSV":
        rows = "".join(f'"{source}","{quote_plus(key, safe="/")}"\n' for key in keys)
        body, schema = gzip.compress(rows.encode()), "Bucket, Key"
    else:
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table({"key": list(keys)}), sink)
        body, schema = sink.getvalue().to_pybytes(), "message s3.inventory { required binary key (UTF8); }"
    s3.put_object(Bucket=lists, Key=f"{folder}/data/1", Body=body)
    manifest = {
        "sourceBucket": source,
        "destinationBucket": f"arn:aws:s3:::{lists}",
        "fileFormat": file_format,
        "fileSchema": schema,
        "files": [{"key": f"{folder}/data/1", "size": len(body), "MD5checksum": "0" * 32}],
    }
    s3.put_object(Bucket=lists, Key=f"{folder}/manifest.json", Body=json.dumps(manifest).encode())
    return f"s3://{lists}/{folder}/manifest.json"
