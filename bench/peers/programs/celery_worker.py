"""The worker of a service on Celery: it downloads whole documents and reads them with RapidOCR on OpenVINO.

    celery -A bench.peers.programs.celery_worker worker

Redis is at REDIS_URL. A worker process has one thread for its networks, and there is one per processor.
"""

import json
import os
import time
from typing import Any

import boto3
import cv2
from celery import Celery
from celery.signals import worker_process_init
from rapidocr import EngineType

from bench.peers.programs.rapid import Reader

_URL = os.environ["REDIS_URL"]
app = Celery("ocr", broker=_URL, backend=_URL)
# As long tasks want it: none is reserved ahead, and none is lost with its worker.
app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True)
_process: dict[str, Any] = {}


@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_: object) -> None:
    """Load the networks, once per process."""
    cv2.setNumThreads(1)
    engines = {f"{stage}.engine_type": EngineType.OPENVINO for stage in ("Det", "Cls", "Rec")}
    _process["reader"] = Reader(engines | {"EngineConfig.openvino.inference_num_threads": 1})
    _process["s3"] = boto3.client("s3")


@app.task  # type: ignore[untyped-decorator]
def read(bucket: str, key: str) -> tuple[float, str]:
    """Read an object, store its text beside it; returns when that was done, and the text."""
    s3 = _process["s3"]
    text = _process["reader"].text(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    s3.put_object(Bucket=bucket, Key=f"{key}.json", Body=json.dumps({"text": text}).encode())
    return time.time(), text
