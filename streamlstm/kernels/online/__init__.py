"""The online stage, compiled: what stands around the network, a stream and an output a call."""
