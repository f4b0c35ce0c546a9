"""Signatures of a PDF."""

import pymupdf
from pymupdf import mupdf


def is_signed(document: pymupdf.Document) -> bool:
    """Whether a signature field has been signed, or the document certified (PDF 32000-1, 12.8)."""
    root = mupdf.pdf_dict_gets(mupdf.pdf_trailer(mupdf.pdf_document_from_fz_document(document)), "Root")
    if mupdf.pdf_dict_len(mupdf.pdf_dict_gets(root, "Perms")):
        return True
    seen: set[int] = set()
    # Fields with the type that they inherit.
    waiting = [(mupdf.pdf_dict_getp(root, "AcroForm/Fields"), "")]
    while waiting:
        fields, inherited = waiting.pop()
        for index in range(mupdf.pdf_array_len(fields)):
            field = mupdf.pdf_array_get(fields, index)
            # A form may lead back to itself, but by a reference.
            if number := mupdf.pdf_to_num(field):
                if number in seen:
                    continue
                seen.add(number)
            kind = mupdf.pdf_to_name(mupdf.pdf_dict_gets(field, "FT")) or inherited
            if kind == "Sig" and mupdf.pdf_is_dict(mupdf.pdf_dict_gets(field, "V")):
                return True
            waiting.append((mupdf.pdf_dict_gets(field, "Kids"), kind))
    return False
