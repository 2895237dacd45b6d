"""Stores and exports of former formats, whose records have no producer, continue bit for bit."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.backends.plan import former_rows, initial_row
from streamlstm.engine.ids import StreamId
from streamlstm.engine.records import record_size, store_key
from streamlstm.errors import BadValueError
from streamlstm.kernels import compile
from streamlstm.network.compatibility import compatibility_key
from streamlstm.serving.stores.header import HEADER_KEY, header_of

from .former_store import former_header, former_record
from .test_reload_store import IDS, MODELS, opened, reload, step, step_alone

LAYERS = (LSTM(1, 1), Dense(1, 1))
PRODUCER = 2**64 - 3
# Written by a worker of format 1, then by one of format 2 that let all streams restart: number and
# event time, floats of the row that are not zero, and the hash.
FORMER: dict[StreamId, tuple[int, float, dict[int, str], str]] = {
    7: (1, 1.5, {0: "4c521a3e", 16: "ef4a713e", 32: "4a4a133e"}, "1f6bb7fd1b2cef49"),
    "123456789": (1, 2.5, {0: "9cfd3c3e", 16: "78b78e3e", 32: "b49f173e"}, "40741f122e835bbf"),
    "a": (1, 0.5, {0: "d0c8ef3d", 16: "78ee423e", 32: "8dfc0e3e"}, "e9613ee08c2ecba1"),
}
SINCE = (2, 0.5, {0: "547b293e", 16: "6103853e", 32: "6a2f953e"}, "0d8c6977d1d98277")
HEADER = (
    '{"model": "%s", "record_size": 216, "format": %d, "contract": '
    '"0aa3fa39c6a0f94e2bb14386e20a698e", "start": 32, "outputs": 1, "others": [], "era": %d, '
    '"earlier": %s}'
)


def model_of(k: int) -> Model:
    """Return the model of the former worker; the weights of layer parameters are (n + k) / 8."""
    weights = [
        {n: (np.arange(np.prod(s)).reshape(s) + k) / 8 for n, s in layer.parameters().items()}
        for layer in LAYERS
    ]
    return Model(list(LAYERS), weights)


def body_of(seq: int, time: float, floats: dict[int, str], end: str) -> bytes:
    row = bytearray(4 * 48)
    for place, value in floats.items():
        row[4 * place : 4 * place + 4] = bytes.fromhex(value)
    return struct.pack("<Qd", seq, time) + row + bytes.fromhex(end)


def former_export(model: Model, record: bytes) -> bytes:
    """Return what ``export_stream`` of format version 2 gave of a stream with this record."""
    head = struct.pack("<4sI16s", b"SLST", 2, bytes.fromhex(model.fingerprint))
    body = head + record[:16] + struct.pack("<Q", len(record[16:-8]) // 4) + record[16:-8]
    return body + struct.pack("<I", zlib.crc32(body))


def write_store(folder: Path, header: str, records: dict[StreamId, bytes]) -> str:
    with lmdb.open(str(folder / "store")) as env, env.begin(write=True) as write:
        write.put(HEADER_KEY, header.encode())
        for stream, record in records.items():
            write.put(store_key(stream), record)
    return f"lmdb:{folder / 'store'}"


def assert_goes_on(where: str, model: Model, truth: Engine) -> None:
    """A store's streams are those of an engine, now, after a step each, and when opened again."""
    streams = truth.streams()
    for _ in range(3):
        with opened(engine := Engine(model, threads=1), where) as checkpointer:
            checkpointer.stored.restore(streams)
            for stream in streams:
                assert engine.export_stream(stream) == truth.export_stream(stream)
            stream = streams.pop()  # the records of the others stay as they are
            seq = engine.last_seq(stream) + 1
            for made in (engine, truth):
                made.step(stream, [1.0], seq=seq)
                made._table.producers[made._table.slot(stream)] = PRODUCER
            checkpointer.finish()
            streams.append(stream)
            streams.reverse()
    sizes = {len(record) for key, record in read(where) if key != HEADER_KEY}
    assert sizes <= {216, record_size(48)}


def read(where: str) -> list[tuple[bytes, bytes]]:
    with lmdb.open(where[5:]) as env, env.begin() as found:
        return list(found.cursor())


def test_a_store_of_format_1_continues(tmp_path: Path) -> None:
    model, truth = model_of(1), Engine(model_of(1), threads=1)
    records = {stream: body_of(*fields) for stream, fields in FORMER.items()}
    for stream, record in records.items():
        truth.import_stream(stream, former_export(model, record))
    where = write_store(tmp_path, HEADER % (model.fingerprint, 1, 0, "[]"), records)
    assert_goes_on(where, model, truth)


def test_a_store_of_format_2_continues(tmp_path: Path) -> None:
    before, model = model_of(1), model_of(2)
    records = {stream: body_of(*fields) for stream, fields in FORMER.items()}
    truth = Engine(before, threads=1)
    for stream, record in records.items():
        truth.import_stream(stream, former_export(before, record))
    truth.reload(model, anew=True)
    records["a"] = body_of(*SINCE)
    truth.import_stream("a", former_export(model, records["a"]))
    where = write_store(tmp_path, HEADER % (model.fingerprint, 2, 1, "[[0, 216, 32, 1]]"), records)
    assert_goes_on(where, model, truth)


def test_an_export_of_version_2_is_imported_without_a_producer() -> None:
    model = model_of(1)
    engine = Engine(model, threads=1)
    blob = former_export(model, body_of(*FORMER["a"]))
    engine.step("a", [1.0], seq=1)
    engine._table.producers[0] = PRODUCER
    engine.import_stream("a", blob)
    assert engine._table.producers[0] == 0
    assert engine.last_seq("a") == 1
    assert engine.export_stream("a")[8:40] == blob[8:40]
    for size in (60, len(blob) - 8):  # its sizes are checked before what it holds
        cut = blob[: size - 4] + struct.pack("<I", zlib.crc32(blob[: size - 4]))
        with pytest.raises(BadValueError, match=r"state: expected .* bytes"):
            engine.import_stream("a", cut)


def test_the_producer_goes_where_the_stream_goes() -> None:
    model = MODELS[0]
    engine, other = Engine(model, threads=1), Engine(model, threads=1)
    table = engine._table
    engine.step_many(["a", "b"], np.ones((2, 2)), seqs=[1, 1])
    table.producers[:2] = PRODUCER, 5
    other.import_stream(7, engine.export_stream("a"))
    assert other._table.producers[other._table.slot(7)] == PRODUCER
    assert other.export_stream(7) == engine.export_stream("a")
    engine.reload(MODELS[1])
    engine.reload(MODELS[3], anew=True)
    assert table.producers[:2].tolist() == [PRODUCER, 5]
    engine.reset("a")
    engine.forget("b")
    assert table.producers[:2].tolist() == [0, 0]
    engine.step("c", [1.0, 1.0])
    assert table.producers[table.slot("c")] == 0


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_a_former_store_restarts_and_goes_on(tmp_path: Path, restarts: int) -> None:
    where, model = f"lmdb:{tmp_path / 'store'}", MODELS[0]
    truth = Engine(model, threads=1)
    with opened(engine := Engine(model, threads=1), where) as checkpointer:
        for stream in IDS:
            step(engine, checkpointer, stream)
            step_alone(truth, stream)
        for n in range(restarts):
            checkpointer._thread._finishing.clear()
            model = MODELS[n + 1]
            reload(engine, checkpointer, model, tmp_path, True)
            truth.reload(model, True)
            step(engine, checkpointer, IDS[n])
            step_alone(truth, IDS[n])
            checkpointer.finish()
        checkpointer.finish()
    make_former(where)
    truth._table.producers[:] = 0
    with opened(engine := Engine(model, threads=1), where) as checkpointer:
        for stream in IDS[1:3]:
            for made in (engine, truth):
                checkpointer.stored.restore([stream])
                seq = made.last_seqs([stream])[0] + 1
                made.step(stream, [0.1 * seq, 1.0], seq=seq)
                made._table.producers[made._table.slot(stream)] = PRODUCER
        checkpointer.finish()
    for following in (model, MODELS[1], MODELS[2]):  # records of three kinds side by side
        with opened(engine := Engine(model, threads=1), where) as checkpointer:
            checkpointer.stored.restore(IDS)
            for stream in IDS:
                assert engine.export_stream(stream) == truth.export_stream(stream)
        with opened(engine := Engine(model, threads=1), where) as checkpointer:
            reload(engine, checkpointer, following, tmp_path, True)
            truth.reload(following, True)
            model = following
            step(engine, checkpointer, "a")
            step_alone(truth, "a")
            checkpointer._thread._finishing.clear()
            checkpointer.finish()


def make_former(where: str) -> None:
    """Rewrite a store as the former version would have written it, streams without producers."""
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        for key, value in list(write.cursor()):
            write.put(key, former_header(value) if key == HEADER_KEY else former_record(value))


def filled_rows(model: Model, version: int) -> Engine:
    """Return an engine with streams that went on, what was added since a version being as new."""
    engine, fills = Engine(model, threads=1), model.online is not None and model.online.fill
    for n, stream in enumerate(("a", 7)):
        for seq in range(1, 40):
            gap = fills != "refuse" and seq % 5 == n
            engine.observe(stream, [np.nan if gap else seq * 0.1], seq=seq)
    new, places = np.ones(len(initial_row(model)), bool), former_rows(model)[version]
    new[places[places >= 0]] = False
    engine._table.rows[:, new] = initial_row(model)[new]
    return engine


def former_version(model: Model, version: int, row: np.ndarray) -> bytes:
    places = former_rows(model)[version]
    former = np.zeros(len(places), np.float32)
    former[places >= 0] = row[places[places >= 0]]
    return former.tobytes()


# Of the models below rows of the version before have the size of today's, or are smaller.
SAME, SMALLER = (Online(intervals=levels, targets=(0,)) for levels in ((0.5, 0.9), (0.9,)))
FILLING = Online(fill="predict", intervals=(0.9,), targets=(0,))
LABELLED = Online(adapt="mix", labels=3, anomaly=True, targets=(-1,))


@pytest.mark.parametrize(
    ("stage", "version"), [(FILLING, 3), (FILLING, 4), (SAME, 3), (SMALLER, 3), (LABELLED, 3)]
)
def test_rows_of_former_versions_of_the_stage_continue(
    tmp_path: Path, stage: Online, version: int
) -> None:
    model = model_of(1).with_online(stage)
    truth, size = filled_rows(model, version), len(former_rows(model)[version])
    assert (size < len(initial_row(model))) == (version == 3 and stage != SAME)
    header = header_of(model, record_size(size))
    table, records = truth._table, {}
    for stream in truth.streams():
        slot = table.slot(stream)
        head = struct.pack("<QdQ", table.seq[slot], table.time[slot], table.producers[slot])
        body = head + former_version(model, version, table.rows[slot])
        data = np.frombuffer(bytearray(body) + bytes(8), np.uint8)
        compile.dirty_entries().add_checksums(data, len(data), 1)
        records[stream] = data.tobytes()
    former = header._replace(compatibility=compatibility_key(model, version))
    where = write_store(tmp_path, former.encode().decode(), records)
    for _ in range(2):
        with opened(engine := Engine(model, threads=1), where) as checkpointer:
            checkpointer.stored.restore(truth.streams())
            for stream in truth.streams():
                assert engine.export_stream(stream) == truth.export_stream(stream)
            for made in (engine, truth):
                made.observe("a", [0.5], seq=made.last_seq("a") + 1)
            checkpointer.finish()


@pytest.mark.parametrize(
    ("stage", "version"), [(Online(fill=("mean",), targets=(0,)), 3), (FILLING, 3), (SMALLER, 3)]
)
def test_an_export_of_a_former_version_of_the_stage_is_imported(
    stage: Online, version: int
) -> None:
    model = model_of(1).with_online(stage)
    truth, engine = filled_rows(model, version), Engine(model, threads=1)
    blob = truth.export_stream("a")
    head, row = blob[:56], np.frombuffer(blob[56:-4], np.float32)
    former = former_version(model, version, row)
    body = head[:48] + struct.pack("<Q", len(former) // 4) + former
    engine.import_stream("a", body + struct.pack("<I", zlib.crc32(body)))
    assert engine.export_stream("a") == blob
