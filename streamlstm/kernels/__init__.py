"""Compiled kernels: arrays in, arrays out, without objects and without I/O.

A new activation touches four files here: layout.py (name, code, default parameters), reference.py
(equation), activations.py and cuda/activations.py (a branch of ``activate``).

A new layer touches eight: its specification in network/layers, the list there and the public names
in streamlstm/__init__.py; here layout.py (KIND and KINDS), reference.py, feedforward.py or
recurrent.py (kernel and LAYERS), cuda/scalar.py, and cuda/feedforward.py (``transform``) or
cuda/fused.py. One whose weights are not a single product or a list of vectors needs a layout of its
own in backends/plan.py, too.
"""
