"""bucket-ocr: a file goes into the bucket, its detections come out next to it."""

__version__ = "0.1.0"
