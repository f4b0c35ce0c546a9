"""Has a child process of a kind try its acts: `python -m tests.children.acting KIND SANDBOX FOLDER`.

This process is its parent, and prints a line of JSON: `walls` of the child, and `outcomes` of its acts.
"""

import asyncio
import json
import os
import resource
import socket
import sys
from dataclasses import replace
from pathlib import Path

from consumer import protocol
from consumer.domain.formats import Format
from consumer.processes import host
from consumer.processes.layout import ProcessLayout
from consumer.processes.process import ProcessSpec
from consumer.processes.slot import Slot, running_slots
from consumer.settings import Settings
from tests.children import acts
from tests.children.toy import PYTHONPATH
from tests.fakes import page_image

_DEADLINE_S = 300.0


def main() -> None:
    kind, sandbox, folder = sys.argv[1:]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (PYTHONPATH, os.environ.get("PYTHONPATH"))))
    options = Settings(
        queue_url="none",
        engine="rapidocr",
        engine_workers=1,
        layout="fast",
        outputs="overlay",
        sandbox=sandbox,
    )
    if sandbox != "off":
        host.forbid_inspection()
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.stdout.write(json.dumps(asyncio.run(_act(kind, options, Path(folder)))) + "\n")


async def _act(kind: str, options: Settings, folder: Path) -> dict[str, object]:
    work = folder / "parent" / "work"
    work.mkdir(parents=True, exist_ok=True)
    layout = ProcessLayout.of(options, work)
    slots = {"render": layout.renderers, "output": layout.output_writers, "rapidocr": layout.engines}[kind]
    spec = replace(slots[0].spec, entry=f"acts:{kind}")
    slot, sibling = Slot(_with_memory(spec, options)), Slot(layout.renderers[0].spec)
    with socket.create_server(("127.0.0.1", 0)) as server:
        # The one that may trace the other ends before it.
        async with running_slots([sibling, slot]):
            assert slot.process is not None
            assert sibling.process is not None
            at = _targets(folder, work, spec) | {
                "parent": os.getpid(),
                "sibling": sibling.process.pid,
                "port": server.getsockname()[1],
                # If the parent were traced, it would stop for its own child.
                "traced": ["sibling"] if options.sandbox == "off" else ["parent", "sibling"],
            }
            (work / "own").write_bytes(acts.WORD + json.dumps(at).encode())
            reply = await slot.request(_request(kind, work), _DEADLINE_S)
            assert isinstance(reply, protocol.RequestFailed), reply
            return {"walls": dict(slot.process.walls), "outcomes": json.loads(reply.message)}


def _with_memory(spec: ProcessSpec, options: Settings) -> ProcessSpec:
    """Its limit of address space is no wall of the sandbox: without that, the process has none."""
    if options.sandbox != "off" or not isinstance(spec.options, protocol.RenderOptions):
        return spec
    none = {"address_space_bytes": 2**46, "mapped_bytes": 0}
    return replace(spec, options=spec.options.model_copy(update=none))


def _targets(folder: Path, work: Path, spec: ProcessSpec) -> dict[str, object]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    paths = {"home": home / "key", "source": work / "1.source", "page": work / "1.bgr"}
    for path in (*paths.values(), expendable := work / "2.source", work / "pages"):
        path.write_bytes(b"secret")
    memory_bytes = 0
    if isinstance(spec.options, protocol.RenderOptions):
        memory_bytes = spec.options.address_space_bytes + spec.options.mapped_bytes
    return {name: str(path) for name, path in paths.items()} | {
        "passwords": "/etc/passwd",
        "expendable": str(expendable),
        "work folder": str(work),
        "folder around it": str(work.parent),
        "memory_bytes": memory_bytes,
        "file_bytes": spec.sandbox.file_bytes,
    }


def _request(kind: str, work: Path) -> protocol.Request:
    own, output = str(work / "own"), str(work / "output")
    match kind:
        case "render":
            return protocol.RenderPage(path=own, format=Format.PDF, page_number=1, image_path=output)
        case "output":
            return protocol.WriteOutput(
                output="overlay",
                path=own,
                format=Format.PDF,
                pages_path=str(work / "pages"),
                output_path=output,
            )
    return protocol.ReadPages(images=(page_image(1, Path(own)),))


if __name__ == "__main__":
    main()
