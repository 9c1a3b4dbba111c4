"""What a conversion did: ``report`` tensor by tensor, ``notes`` beside the numbers, and ``page`` for browsers.

``page_text`` and ``page_data`` write what people, and the page's script, read of it.
"""
