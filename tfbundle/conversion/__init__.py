"""One bundle -> another: what to do with each tensor, a plan of byte ranges, and the pipeline that carries it out.

``select`` and ``optimizer`` decide, ``plan`` lays out, ``pipeline`` moves and casts bytes, ``report`` says what
happened, ``halve`` ties them together.
"""
