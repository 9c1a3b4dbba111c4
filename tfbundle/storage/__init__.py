"""Where bytes live: the only package that touches the operating system.

``base`` says what the rest of the package needs of a storage; ``local`` provides it for the file system, ``remote`` for
URLs, ``anywhere`` for both. ``stream`` is for bytes that are made while they are written.
"""
