"""What a run will need before it begins: bytes on disk, memory, floating-point work, time and cost."""
