"""Bundles with tensors that are not those of one source: means of several, or one from elsewhere.

``average`` and ``replace`` are the verbs. ``averaging`` and ``compact`` stream tensors into a new bundle, in
``lanes`` of neighbouring rows that ``blend`` puts together, at the places that ``placement`` gives them.
"""
