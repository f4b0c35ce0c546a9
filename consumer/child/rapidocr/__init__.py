"""The engine process with RapidOCR on OpenVINO."""
