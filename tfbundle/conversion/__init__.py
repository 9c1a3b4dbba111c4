"""Bundles -> a bundle: the verbs that plan, stream and publish.

``cast``, and ``halve`` with it, carry out a ``request``; ``edits`` is what follows from new names, ``survey`` looks
at the numbers before, or only that. ``merge`` unites bundles; ``salvage`` saves what is sound of one, and ``regroup``
the data files that takes.
"""
