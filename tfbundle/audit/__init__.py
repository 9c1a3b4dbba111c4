"""Judging bundles: what is sound in them, and what differs.

``verify`` checks one. ``diff`` compares two: ``values`` of a tensor at a time, by the ``closeness`` of numbers, and
``differences`` is what it finds.
"""
