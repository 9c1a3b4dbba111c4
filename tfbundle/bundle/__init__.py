"""Bundles on storage: finding, reading and writing them."""
