"""A queue worker as one writes it in an afternoon: receive, download, read, store, delete.

    boto_loop.py QUEUE_URL RESULTS_BUCKET

It answers as `rounds` says, and takes its rounds from the queue.
"""

import json
import sys
from urllib.parse import unquote_plus

import boto3

from bench.peers.programs.rapid import Reader
from bench.peers.programs.rounds import Answers


def main() -> None:
    """Work until the process is ended."""
    queue_url, results = sys.argv[1:]
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    reader = Reader()
    answers = Answers()
    while True:
        received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in received.get("Messages", []):
            for record in json.loads(message["Body"]).get("Records", []):
                bucket = record["s3"]["bucket"]["name"]
                key = unquote_plus(record["s3"]["object"]["key"])
                source = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                text = reader.text(source)
                s3.put_object(Bucket=results, Key=key, Body=json.dumps({"text": text}).encode())
                answers.put(key, text)
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
