"""The model that the demo uses, as it is installed."""

import numpy as np

from streamlstm import Engine, Model
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table


def test_it_predicts_one_value_of_a_stream_a_second_ahead():
    model = Model.shipped()
    assert (model.inputs, model.outputs) == (("value",), ("value",))
    assert model.horizon == 10
    assert model.skip == (0,)


def test_it_beats_persistence_on_what_was_held_back(root):
    """The last tenth of every minute of the recording was neither trained nor validated on."""
    table = read_table(root / "examples/data/host.csv.gz", ReadOptions(stream_column="stream"))
    streams = np.array(table.streams)
    names = np.unique(streams).tolist()
    values = np.stack([table.values[streams == name] for name in names], axis=1)
    engine = Engine(Model.shipped(), threads=1)
    predictions = np.stack([engine.step_many(names, X) for X in values])
    held_back = slice(int(0.9 * len(values)), None)
    truth = values[held_back]
    before = slice(held_back.start - 10, len(values) - 10)
    model = np.abs(predictions[before] - truth).mean()
    persistence = np.abs(values[before] - truth).mean()
    assert model < 0.9 * persistence


def test_it_is_at_ease_with_a_new_stream_that_stands_still():
    engine = Engine(Model.shipped(), threads=1)
    for value in (0.0, 0.05, 1.0):
        stream = engine.stream(f"still at {value}")
        errors = [abs(float(stream.step([value])[0]) - value) for _ in range(100)]
        assert max(errors) < 0.05
        assert max(errors[20:]) < 0.005
