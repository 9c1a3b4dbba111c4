"""Coverage-guided fuzzing of everything that reads files.

A target is a function that takes any bytes and fails where a promise of the package is broken: not only another
exception than ``BundleError``, but also values that differ from a second way to them, more than a second, or more than
100 MB. Run one with::

    python -m tests.fuzz bundle --minutes 20

which needs ``atheris`` (``pip install -e '.[fuzz]'``, Linux). The inputs that are worth keeping are in ``corpus/``,
those that once revealed a bug among them; ``test_replay.py`` runs them all, without atheris.
"""
