"""Bundles -> a bundle: what to do with each tensor, a plan of byte ranges, and the pipeline that carries it out.

``select``, ``optimizer`` and ``rename`` decide; ``planning`` makes a ``plan``, with the help of ``layout`` and
``join``; ``run``, ``pipeline``,
``workspace`` and ``ledger`` move, cast and judge bytes; ``report`` says what happened. ``halve`` and ``merge`` tie them
together; ``transcode`` and ``beside`` see to V1 sources and to the files around a bundle.
"""
