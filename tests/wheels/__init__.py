"""The wheel: the same bytes from every build, and at work where nothing but itself is installed."""
