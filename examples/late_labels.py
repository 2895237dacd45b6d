"""Learns from labels that come late, out of order and sometimes twice, while it predicts.

python examples/late_labels.py
"""

import argparse

import numpy as np

from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.errors import LabelError

UNITS, LATEST = 16, 60


def untrained(rng: np.random.Generator) -> Model:
    """Return a network whose memory is random and whose head says 0: it knows nothing yet."""
    lstm = {n: 0.6 * rng.standard_normal(s) for n, s in LSTM(2, UNITS).parameters().items()}
    head = {"weight": np.zeros((1, UNITS)), "bias": np.zeros(1)}
    return Model(
        [LSTM(2, UNITS), Dense(UNITS, 1)],
        [lstm, head],
        inputs=["temperature", "speed"],
        outputs=["quality"],
        horizon=0,  # it says what the quality is now, which a laboratory will measure later
        online=Online(adapt="rls", labels=LATEST + 1),
    )


def main() -> None:
    """Print the mean error of predictions before and after labels were learned."""
    arguments = argparse.ArgumentParser(description="Learn from labels that arrive late.")
    arguments.add_argument("--steps", type=int, default=3000)
    given = arguments.parse_args()

    rng = np.random.default_rng(0)
    engine = Engine(untrained(rng))
    x, errors, refused = np.zeros(2), [], 0
    waiting: dict[int, list[tuple[int, float]]] = {}  # by the step in which they arrive
    for seq in range(1, given.steps + 1):
        x = 0.9 * x + 0.4 * rng.standard_normal(2)
        quality = 2.0 + x[0] - 0.5 * x[1] + 0.1 * rng.standard_normal()
        y = engine.observe("line-1", x, seq=seq).y[0]
        errors.append(abs(y - quality))
        for copy in range(2 if seq % 100 == 0 else 1):  # the laboratory sends some results twice
            arrival = seq + int(rng.integers(5, LATEST)) + copy
            waiting.setdefault(arrival, []).append((seq, quality))
        for about, label in waiting.pop(seq, []):
            try:
                engine.learn("line-1", about, [label])
            except LabelError:  # it was learned before, and nothing has changed
                refused += 1
    tenth = max(given.steps // 10, 1)
    print(f"mean error of the first {tenth} predictions: {np.mean(errors[:tenth]):.3f}")
    print(f"mean error of the last {tenth} predictions:  {np.mean(errors[-tenth:]):.3f}")
    print(f"labels refused because they had come before: {refused}")


if __name__ == "__main__":
    main()
