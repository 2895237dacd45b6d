"""Subscribes to a worker's predictions and raises an alarm above a bound.

streamlstm serve model.safetensors
python examples/alarm.py --streams cpu- --above 0.9
streamlstm publish --host
"""

import argparse

from streamlstm import Subscriber, wire


def main() -> None:
    """Print each prediction above a bound, until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Raise an alarm if a prediction is too high.")
    arguments.add_argument("--xpub", default=wire.XPUB, help="the worker's XPUB socket")
    arguments.add_argument("--streams", default="", help="only ids with this prefix")
    arguments.add_argument("--above", type=float, default=0.9, help="bound of the first output")
    arguments.add_argument("--count", type=int, help="stop after this many alarms")
    given = arguments.parse_args()

    alarms = 0
    with Subscriber(given.xpub, [given.streams]) as subscriber:
        print("listening", flush=True)
        for prediction in subscriber:
            y = prediction.values[0]
            if y > given.above:
                alarms += 1
                print(f"{prediction.stream}: {y:.4f} is above {given.above}", flush=True)
            if alarms == given.count:
                return


if __name__ == "__main__":
    main()
