"""Tensors in the files of others: safetensors, ``.npz`` archives, directories of ``.npy`` files.

``export`` and ``import_tensors`` are the verbs. On the way out, ``request`` says which tensors go under which names,
``forms`` what each kind of file can hold, and a ``frame`` where every payload goes and what stands around it:
``safetensors_frame``, ``npz_frame`` and ``npy_frame`` make frames, ``framing`` fills them. On the way in,
``opening`` finds out what a file is; ``safetensors_source``, ``npz_source`` and ``npy_source`` tell what it holds, as
``arrays`` that are read in windows; ``turning`` puts those in Fortran order right. ``safetensors_header`` and
``zip_records`` are the formats themselves, bytes to values and back; ``zip_directory`` reads the latter from a file.
"""
