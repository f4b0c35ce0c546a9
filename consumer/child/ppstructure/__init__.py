"""The engine process with PP-StructureV3."""
