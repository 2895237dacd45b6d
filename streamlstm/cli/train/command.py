"""`streamlstm train`: trains a model on a CSV file."""

from pathlib import Path
from typing import Any

import typer

from ..signals import exit_on_interrupt, sigterm_as_interrupt
from ..table_options import TableFile, reads_table
from . import options


@reads_table
def train(
    context: typer.Context,
    data: TableFile,
    target: options.Target = None,
    out: options.Out = Path("model.safetensors"),
    from_model: options.FromModel = None,
    checkpoint: options.Checkpoint = None,
    sweep: options.Sweep = 1,
    processes: options.Processes = None,
    hidden: options.Hidden = 64,
    layers: options.Layers = 1,
    cell: options.Cell = "lstm",
    layer_norm: options.LayerNorm = False,
    residual: options.Residual = False,
    inputs: options.Inputs = None,
    horizon: options.Horizon = ["1"],  # noqa: B006 - typer copies it
    season: options.Season = None,
    classify: options.Classify = None,
    target_category: options.TargetCategory = None,
    class_weights: options.ClassWeights = "none",
    fill: options.Fill = "refuse",
    difference: options.Difference = None,
    calendar: options.Calendar = "none",
    zone: options.Zone = "UTC",
    sequence_column: options.SequenceColumn = None,
    train_fraction: options.TrainFraction = 0.7,
    validation_fraction: options.ValidationFraction = 0.1,
    epochs: options.Epochs = 300,
    window: options.Window = 64,
    batch: options.Batch = 8,
    rate: options.Rate = 6e-3,
    weight_decay: options.WeightDecay = 0.0,
    shift: options.Shift = 0.5,
    dropout: options.Dropout = 0.0,
    recurrent_dropout: options.RecurrentDropout = 0.0,
    delta: options.Delta = 0.3,
    quantiles: options.Quantiles = (),
    embedding: options.Embedding = 16,
    skip: options.Skip = True,
    linear: options.Linear = True,
    seed: options.Seed = 0,
    online: options.Online = True,
    report: options.Report = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Train a model on a CSV file and report its errors.

    The file needs a header and numeric columns; a time column is optional. The first 70 % of each
    series are for training, the next 10 % for early stopping, and the last 20 % are the test set,
    scored once against persistence (the last value), the value of a season ago and a linear
    autoregression. Ctrl-C and
    SIGTERM stop training, save the best model so far, and exit with status 130 or 143.

    \b
    Example:
      streamlstm train data.csv --target value --hidden 64 --out model.safetensors
    """  # noqa: D301 - \b keeps the lines of the example apart
    if not (target or classify or target_category):
        raise typer.BadParameter("expected one of --target, --classify and --target-category")
    _one_blas_thread()
    with exit_on_interrupt():
        from streamlstm.backends.beside import compiled_beside
        from streamlstm.cli.output_path import check_output
        from streamlstm.cli.train.progress import show_progress
        from streamlstm.cli.train.report import log, log_setup, print_result
        from streamlstm.cli.train.sweep import print_sweep, show_sweep
        from streamlstm.learn.cells import compile_kernels
        from streamlstm.learn.finishing import finish, kernels_of, to_model
        from streamlstm.learn.preparation import prepare
        from streamlstm.learn.report.page import check_report
        from streamlstm.learn.sweep.record import folder_of
        from streamlstm.learn.training import choose, fit_best

    check_output("--out", out, data=data)
    if report is not None:
        check_report(report)
        check_output("--report", report, data=data, model=out)
    if checkpoint is not None:
        start = {} if from_model is None else {"model to train on": from_model}
        check_output("--checkpoint", checkpoint, data=data, model=out, **start)
    prepared = prepare(data, _given(context), from_model)
    log_setup(prepared)
    if checkpoint is not None and (checkpoint.exists() or folder_of(checkpoint).exists()):
        log(f"continuing from {checkpoint}")
    with exit_on_interrupt():
        compile_kernels(prepared.settings.cell)
    # Those that step the model, which is scored after the training.
    stepping = kernels_of(prepared.settings)
    with sigterm_as_interrupt() as interruption, compiled_beside(stepping):
        try:
            if sweep > 1:
                with show_sweep() as on_progress:
                    prepared = choose(
                        prepared,
                        sweep,
                        processes=processes,
                        on_progress=on_progress,
                        checkpoint=checkpoint,
                    )
                print_sweep(prepared)
            kept = None if checkpoint is None else prepared.checkpoint(checkpoint)
            with show_progress(prepared.settings.epochs) as progress:
                prepared, fitted = fit_best(
                    prepared,
                    progress.epoch,
                    on_batch=progress.batch,
                    checkpoint=kept,
                    on_again=progress.again,
                )
        except KeyboardInterrupt:
            log("stopped before the end of the first epoch: there is no model to save")
            raise typer.Exit(interruption.status) from None
    model = to_model(prepared, fitted)
    model.save(out)  # before it is scored: an interrupt must not lose it
    trained = finish(prepared, fitted, model)
    trained.model.save(out)
    print_result(out, trained, interruption.name)
    if report is not None and trained.evaluation is not None:
        trained.evaluation.report(report)
        log(f"wrote {report}")
    if trained.ended == "interrupted":
        raise typer.Exit(interruption.status)
    if kept:
        kept.remove()


def _given(context: typer.Context) -> dict[str, Any]:
    """Return the settings of the options that were given, by name."""
    from dataclasses import fields

    from streamlstm.learn.settings import Settings
    from streamlstm.learn.training import hidden_sizes

    options = context.params
    source = context.get_parameter_source
    given = {name for name in options if str(getattr(source(name), "name", "")) != "DEFAULT"}
    settings = {f.name: options[f.name] for f in fields(Settings) if f.name in given}
    several = {"target", "inputs", "horizon", "time_column", "missing_values", "difference"}
    for name in settings.keys() & several:
        settings[name] = tuple(settings[name])
    if given & {"hidden", "layers"}:
        settings["hidden_sizes"] = hidden_sizes(options["hidden"], options["layers"])
    return settings


def _one_blas_thread() -> None:
    """Limit BLAS to one thread, unless the environment says otherwise.

    The product of a step takes microseconds. Waking a second thread for it takes longer than it
    saves, and doubles the training time wherever that thread's core is busy. BLAS reads the limit
    once, when NumPy is imported, which the command line has not done yet.
    """
    import os

    for library in ("OPENBLAS", "MKL", "BLIS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
