"""The message loop of the worker as machine code, from ZeroMQ frame to ZeroMQ frame.

It answers STEP and STEPS that can be applied, which are nearly all messages. It hands every other
message over to Python unchanged (:mod:`streamlstm.serving.service`), which alone reports errors.
"""
