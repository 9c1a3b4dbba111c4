"""Bundles with tensors that are not those of one source: means of several, or one from elsewhere.

``average`` and ``replace`` are the verbs. ``averaging`` and ``compact`` stream tensors into a new bundle, in
``lanes`` of neighbouring rows that ``blend`` puts together, at the places that ``placement`` gives them; ``parted``
reads tensors that are partitioned in different ways. ``alike`` says whether bundles can be averaged, ``disagreement``
where they differ. ``npy`` reads a new array, and ``fit`` says whether it can take the old one's place.
"""
