"""Rewriting graphs so that they go with halved weights: bytes in, bytes out, no TensorFlow.

Weights are float16 on disk; arithmetic, and the variables in memory, stay float32. So the nodes that restore and save
variables (``savers``) change their types, and ``repair`` puts a Cast wherever float32 meets float16 then. For that the
types of all inputs and outputs are known: ``ops`` has the signatures of TensorFlow's ops, ``node_types`` what they mean
for a node, ``bodies`` which output each input reads, ``check`` compares the two.

``models`` does it for a graph with savers, ``objects`` adds what the loader of TF2 needs, ``reduce`` lets savers leave
tensors out, ``strip`` takes training out, ``constants`` is for frozen graphs.

Graphs are large, and stay in their files, which ``sources`` reads: ``wire`` finds the fields of messages without
parsing them, ``nodes`` and ``library`` parse the nodes and functions that are looked at, ``outline`` leaves out large
constants.

Source: TensorFlow ``core/framework/graph.proto``, ``op_def.proto``, ``function.proto``.
"""
