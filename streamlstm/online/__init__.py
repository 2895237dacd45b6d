"""What stands around a network: missing values, scaling, adaptation, intervals, anomaly scores.

The functions here are the specification, in NumPy; their compiled twins are in kernels/online.
"""
