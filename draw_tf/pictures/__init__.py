"""Arrays in, pictures out: tiles, strokes, and curves of numbers."""
