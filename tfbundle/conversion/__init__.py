"""Bundles -> a bundle: what to do with each tensor, a plan of byte ranges, and the pipeline that carries it out.

``select``, ``optimizer`` and ``rename`` decide, by the ``names`` that tensors are known by; ``presets`` are words that
stand for many patterns, ``naming`` is what a user may ask for, and ``edits`` what follows for a bundle. ``planning``
makes a ``plan``, with the help of ``layout``; ``steps`` and ``join`` cut it into units of work. ``run`` has these done
by ``workers``, each with ``pipeline`` in a ``workspace``, and ``ledger`` judges what comes back; ``report`` says what
happened; ``page`` shows it in a browser. ``halve`` and ``merge`` tie all this together; ``transcode`` and ``beside``
see to V1 sources and to the files around a bundle.
"""
