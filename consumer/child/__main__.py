"""`python -m consumer.child ENTRY FD OPTIONS SANDBOX`: a child process, started by `processes.process`.

ENTRY is the `module:function` that builds the `RequestHandler` from OPTIONS, the JSON of the options of this
kind of process; FD is the number of the inherited socket to the parent; SANDBOX: a `protocol.Sandbox`, too.
"""

import sys
from importlib import import_module

from consumer.child import serve
from consumer.child.sandbox.walls import Walls
from consumer.protocol import Sandbox


def main() -> None:
    """Serve the parent until it hangs up."""
    serve.prepare_process()
    entry, descriptor, options, sandbox = sys.argv[1:]
    module, _, function = entry.partition(":")
    walls = Walls(Sandbox.model_validate_json(sandbox))
    serve.serve(int(descriptor), lambda: getattr(import_module(module), function)(options), walls)


main()
