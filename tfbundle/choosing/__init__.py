"""What becomes of each tensor of a bundle, and what it is called afterwards.

``select`` and ``naming`` are what a user may ask for, ``casting.policy`` beside them. ``deciding`` makes
``decisions`` of that, by what ``castable`` knows of dtypes; ``rename`` makes new names. Tensors are known by
``names``, which ``matching`` compares with patterns; ``presets`` stand for many patterns, ``closest`` finds what a
slip may have meant, and ``optimizer`` tells training state from weights. ``likeness`` decides by a template instead,
which ``like`` compares with the bundle.
"""
