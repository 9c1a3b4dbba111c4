"""Mutation testing of ``sstable`` and ``format``: every operator, number, text and argument is changed, one at a time.

A change that no test notices survives. ``survivors.md`` lists those that may, and why. This is not part of the test
suite, since it takes about half an hour on two cores::

    pip install -e '.[test]' 'mutmut>=3.8,<4' mypy
    python -m tests.mutation                            # everything
    python -m tests.mutation 'tfbundle.format.plain*'   # some of it

It ends with status 1 if a change survives that is not listed.
"""
