"""What stands before the workers of a service on Celery: it stores uploads, and sends a task for each.

    celery_api.py BUCKET

There is no web server in it: a client's upload over HTTP costs nothing here.
"""

import sys

import boto3

from bench.peers.programs.celery_worker import read
from bench.peers.programs.rounds import Answers, rounds


def main() -> None:
    """Pass on round after round."""
    (bucket,) = sys.argv[1:]
    s3 = boto3.client("s3")
    answers = Answers()
    for paths in rounds():
        tasks = {}
        for path in paths:
            s3.upload_file(str(path), bucket, path.name)
            tasks[path.name] = read.delay(bucket, path.name)
        for name, task in tasks.items():
            at_s, text = task.get()
            answers.put(name, text, at_s)


if __name__ == "__main__":
    main()
