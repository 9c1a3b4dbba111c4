"""Speed, memory and start-up of ``tfbundle`` beside what else one could run.

``python -m tests.benchmarks`` from the top of the repository (Linux; about 20 GiB of disk). It makes its inputs in a
temporary directory, lets the contenders take turns, and judges the results by the limits in ``limits.py``.

The modules: ``sizes`` and ``contenders`` say what there is, ``scenarios`` who runs on what, ``limits`` what is
expected; ``suite`` runs it with ``measure``, ``figures`` computes and ``report`` prints. ``inputs``, ``kernel``, the
``_costs`` and the ``route_`` modules run in processes of their own.
"""
