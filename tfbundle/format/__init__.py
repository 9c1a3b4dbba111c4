"""Values <-> the bytes of a bundle. Opens no file.

``dtypes`` the element types and their width · ``entries`` header and entry messages · ``index`` the whole index ·
``naming`` file and tensor names · ``payload_checksum`` which bytes a tensor's crc32c covers · ``strings`` string
tensors · ``varints`` runs of integers · ``slices`` boxes of partitioned tensors · ``ordered_code`` their keys ·
``extents`` where payloads lie · ``object_graph`` the objects of a TF2 checkpoint · ``state`` the ``checkpoint``
file · ``v1`` V1 checkpoints.
"""
