"""`python -m consumer.child ENTRY FD OPTIONS`: a child process, started by `processes.process`.

ENTRY is the `module:function` that builds the `RequestHandler` from OPTIONS, the JSON of the options of this
kind of process; FD is the number of the inherited socket to the parent.
"""

import sys
from importlib import import_module

from consumer.child import serve


def main() -> None:
    """Serve the parent until it hangs up."""
    serve.prepare_process()
    entry, descriptor, options = sys.argv[1:]
    module, _, function = entry.partition(":")
    serve.serve(int(descriptor), lambda: getattr(import_module(module), function)(options))


main()
