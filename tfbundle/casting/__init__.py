"""Arrays -> arrays: exact, blockwise casts that count what they did. Knows no file and no bundle."""
