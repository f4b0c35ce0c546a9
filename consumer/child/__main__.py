"""`python -m consumer.child ROLE FD OPTIONS`: a child process, started by `adapters.children`.

ROLE is `render`, `rapidocr` or `pp-structurev3`; FD the number of the inherited socket to the parent;
OPTIONS the JSON of the role's options.
"""

import sys

from consumer import protocol
from consumer.child import serve


def main() -> None:
    """Do the work of one role until the parent hangs up."""
    serve.prepare_process()
    role, descriptor, options = sys.argv[1:]
    # Imported only in the role that needs it: a renderer shall not hold an engine in memory.
    match role:
        case "render":
            from consumer.child.rendering.renderer import PageRenderer

            how = protocol.RenderOptions.model_validate_json(options)
            serve.silence_libraries()
            serve.limit_address_space(how.address_space_bytes)
            serve.serve(int(descriptor), lambda: PageRenderer(how), processor_s=how.processor_s)
        case "rapidocr":
            # OpenVINO would tell its makers, over the network, of every start.
            sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
            from consumer.child.rapidocr.engine import RapidOcrEngine

            serve.serve(
                int(descriptor), lambda: RapidOcrEngine(protocol.EngineOptions.model_validate_json(options))
            )
        case "pp-structurev3":
            from consumer.child.ppstructure import environment

            serve.serve(
                int(descriptor),
                lambda: environment.build(protocol.PpStructureOptions.model_validate_json(options)),
            )
        case _:
            sys.exit(f"unknown role {role!r}")


main()
