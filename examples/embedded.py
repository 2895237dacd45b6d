"""Embeds the engine in a program: no worker, no socket, microseconds a step.

python examples/embedded.py model.safetensors
"""

import argparse

import numpy as np

from streamlstm import Engine, Model


def main() -> None:
    """Step a few streams in each way that the engine offers."""
    arguments = argparse.ArgumentParser(description="Step streams inside this program.")
    arguments.add_argument("model", help="model file of streamlstm train")
    given = arguments.parse_args()

    model = Model.load(given.model)
    engine = Engine(model, capacity=1000)
    rng = np.random.default_rng(0)

    # One observation of one stream. A stream starts with its first observation.
    x = rng.normal(size=model.input_size).astype(np.float32)
    print("pump-7 ", engine.step("pump-7", x))

    # Many streams in one block cost less than one after another.
    X = rng.normal(size=(3, model.input_size)).astype(np.float32)
    print("three  ", engine.step_many(["pump-7", "pump-8", 9], X).tolist())

    # A Stream remembers the slot of its state, so that no step has to look it up.
    pump = engine.stream("pump-7")
    before = engine.export_stream("pump-7")
    first = pump.step(x)

    # The state of a stream can be exported and imported: the same input gives the same output.
    engine.import_stream("pump-7", before)
    print("again  ", np.array_equal(first, pump.step(x)))
    print("streams", engine.streams())


if __name__ == "__main__":
    main()
