"""An engine inside a program of your own: no worker, no socket, microseconds a step.

python examples/embedded.py model.safetensors
"""

import argparse

import numpy as np

from streamlstm import Engine, Model


def main() -> None:
    """Step a few streams in every way there is."""
    arguments = argparse.ArgumentParser(description="Step streams inside this program.")
    arguments.add_argument("model", help="model file, from streamlstm train")
    given = arguments.parse_args()

    model = Model.load(given.model)
    engine = Engine(model, capacity=1000)
    rng = np.random.default_rng(0)

    # One observation of one stream. A stream begins with its first observation.
    x = rng.normal(size=model.input_size).astype(np.float32)
    print("pump-7 ", engine.step("pump-7", x))

    # Many streams together cost less than one after another.
    X = rng.normal(size=(3, model.input_size)).astype(np.float32)
    print("three  ", engine.step_many(["pump-7", "pump-8", 9], X).tolist())

    # A handle knows where its stream's memory is and need not look it up.
    pump = engine.stream("pump-7")
    before = engine.export_stream("pump-7")
    first = pump.step(x)

    # What a stream remembers can be kept, and given back: the same input gives the same again.
    engine.import_stream("pump-7", before)
    print("again  ", np.array_equal(first, pump.step(x)))
    print("streams", engine.streams())


if __name__ == "__main__":
    main()
