#!/usr/bin/env bash
# Guess: with AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_SQS) in the environment every command of the AWS CLI goes there.
#
# Found (awscli 1.46.3, botocore 1.43.62): `aws sqs` does not. Version 1 of the client takes the old address of SQS,
#   queue.amazonaws.com, before it looks at the variables. `aws sns` and `aws s3api` heed them, and so does SQS in
#   boto3. `aws --endpoint-url URL sqs …` works.
#
# Hurts: whoever tries commands on a local cloud. `aws sqs purge-queue` or `create-queue` is sent to AWS, and if there
#   are real credentials, it is obeyed there.
#
# Output seen:
#   awscli 1.46.3 botocore 1.43.62
#   aws sns, AWS_ENDPOINT_URL          local
#   aws sqs, AWS_ENDPOINT_URL          queue.amazonaws.com:443
#   aws sqs, AWS_ENDPOINT_URL_SQS      queue.amazonaws.com:443
#   aws sqs, --endpoint-url            local
#   boto3 sqs, AWS_ENDPOINT_URL        local
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q awscli==1.46.3 botocore==1.43.62 boto3==1.43.62
venv/bin/python - <<'PY'
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path


class Listener(BaseHTTPRequestHandler):
    """In the place of a local cloud, and of a proxy, which is asked for all other hosts and lets none through."""

    asked = []

    def do_POST(self):
        self.asked.append("local")
        self.send_error(400)

    def do_CONNECT(self):
        self.asked.append(self.path)
        self.send_error(403)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
aws = str(Path(sys.executable).with_name("aws"))
boto3 = [sys.executable, "-c", "import boto3; boto3.client('sqs').list_queues()"]


def asked(*command, **variables):
    """The one host that a command asks."""
    Listener.asked.clear()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.getcwd(),
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "HTTPS_PROXY": address,
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    subprocess.run(command, env=env, check=False, capture_output=True)
    (host,) = set(Listener.asked)
    return host


print("awscli", version("awscli"), "botocore", version("botocore"))
found = {
    "aws sns, AWS_ENDPOINT_URL": asked(aws, "sns", "list-topics", AWS_ENDPOINT_URL=address),
    "aws sqs, AWS_ENDPOINT_URL": asked(aws, "sqs", "list-queues", AWS_ENDPOINT_URL=address),
    "aws sqs, AWS_ENDPOINT_URL_SQS": asked(aws, "sqs", "list-queues", AWS_ENDPOINT_URL_SQS=address),
    "aws sqs, --endpoint-url": asked(aws, "--endpoint-url", address, "sqs", "list-queues"),
    "boto3 sqs, AWS_ENDPOINT_URL": asked(*boto3, AWS_ENDPOINT_URL=address),
}
for how, host in found.items():
    print(f"{how:<34} {host}")
assert [host == "local" for host in found.values()] == [True, False, False, True, True]
print("still so")
PY
