"""The model files of PP-StructureV3: what is configured, fetched and present."""
