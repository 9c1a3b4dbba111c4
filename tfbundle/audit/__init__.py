"""Judging bundles: what is sound in them and what is not."""
