"""The worker's loop as machine code: from a ZeroMQ frame to a ZeroMQ frame without the interpreter.

It takes the messages that nearly all messages are, STEP and STEPS that can be applied; every other
goes to Python as it came (:mod:`streamlstm.serving.service`), which alone says what is wrong.
"""
