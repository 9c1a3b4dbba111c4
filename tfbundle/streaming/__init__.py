"""A plan of byte ranges, and the pipeline that carries it out.

``planning`` makes a ``plan`` of decisions, with the help of ``layout``; ``steps`` and ``join`` cut it into units of
work. ``run`` has these done by ``workers``, to whom ``dispatch`` hands them, each with ``pipeline`` in a ``workspace``;
``ledger`` judges what comes back, and ``progress`` is told of it.
"""
