"""What becomes of each tensor of a bundle, and what it is called afterwards.

``select`` and ``naming`` are what a user may ask for, ``casting.policy`` beside them. ``deciding`` makes
``decisions`` of that, ``rename`` makes new names; tensors are known by ``names``, which ``matching`` compares with
patterns, ``presets`` stand for many patterns, and ``optimizer`` tells training state from weights. ``likeness``
decides by a template instead.
"""
