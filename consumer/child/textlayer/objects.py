"""Objects of a PDF, and where they are written: into a document that is open, or a new file."""

import zlib
from typing import BinaryIO, Final, Protocol

import pymupdf
from pymupdf import mupdf

#: Level 6 takes three times as long and gains a tenth.
_COMPRESSION: Final = 4


class ObjectSink(Protocol):
    """Takes objects of a PDF, each a dictionary or a stream."""

    def reserve(self) -> int:
        """Give the number of an object to be put later, so that others may refer to it."""
        ...

    def put(self, number: int, entries: str, stream: bytes | None = None) -> None:
        """Write an object. `entries`: what is between << and >>, without /Length; `stream`: as it is."""
        ...


def put_flate(sink: ObjectSink, number: int, entries: str, data: bytes) -> None:
    """Write a stream, compressed."""
    sink.put(number, f"{entries}/Filter/FlateDecode", zlib.compress(data, _COMPRESSION))


class DocumentObjects:
    """Objects of an open document; they are kept in memory until it is saved."""

    def __init__(self, document: pymupdf.Document) -> None:
        self._document = document
        self.pdf = mupdf.pdf_document_from_fz_document(document)

    def reserve(self) -> int:
        """Give the number of a new object."""
        return int(mupdf.pdf_create_object(self.pdf))

    def reference(self, number: int) -> mupdf.PdfObj:
        """Return a reference to an object."""
        return mupdf.pdf_new_indirect(self.pdf, number, 0)

    def put(self, number: int, entries: str, stream: bytes | None = None) -> None:
        """Write an object."""
        self._document.update_object(number, f"<<{entries}>>")
        if stream is not None:
            # PyMuPDF's own method drops the filter of what is compressed already.
            buffer = mupdf.fz_new_buffer_from_copied_data(stream)
            mupdf.pdf_update_stream(self.pdf, self.reference(number), buffer, 1)


class NewFile:
    """A new PDF 1.7, written object by object, so that none is kept in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets: list[int] = []
        # Bytes above 127 tell programs that transfer files that this one is binary (7.5.2).
        self._file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    def reserve(self) -> int:
        """Give the number of a new object."""
        self._offsets.append(0)
        return len(self._offsets)

    def put(self, number: int, entries: str, stream: bytes | None = None) -> None:
        """Write an object."""
        self._offsets[number - 1] = self._file.tell()
        if stream is None:
            self._file.write(f"{number} 0 obj\n<<{entries}>>\nendobj\n".encode())
            return
        self._file.write(f"{number} 0 obj\n<<{entries}/Length {len(stream)}>>\nstream\n".encode())
        self._file.write(stream)
        self._file.write(b"\nendstream\nendobj\n")

    def finish(self, root: int) -> None:
        """Write the table of objects (7.5.4) and the trailer; `root`: number of the catalog."""
        start = self._file.tell()
        self._file.write(f"xref\n0 {len(self._offsets) + 1}\n0000000000 65535 f \n".encode())
        for offset in self._offsets:
            self._file.write(f"{offset:010} 00000 n \n".encode())
        trailer = f"trailer\n<</Size {len(self._offsets) + 1}/Root {root} 0 R>>\nstartxref\n{start}\n%%EOF\n"
        self._file.write(trailer.encode())
