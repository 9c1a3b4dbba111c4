"""The sorted string table: (key, value) rows <-> bytes. Knows no tensor and opens no file.

::

    +--------------------+
    | data block 0       |  rows, keys in ascending order; each block is followed by a 5-byte trailer:
    | ...                |  compression type (1 byte), masked crc32c of the stored block and that byte
    | data block N       |
    | metaindex block    |  always empty here, never read
    | index block        |  one row for each data block: separator key -> block handle
    | footer, 48 bytes   |  handles of metaindex and index block, padding, magic number
    +--------------------+

Modules, lowest first: ``varint``, ``checksum``, ``snappy``, ``footer``, ``block``, then ``reader`` and ``writer``.

Source: TensorFlow ``tsl/lib/io/{format,table,block,table_builder,block_builder}.cc``.
"""
