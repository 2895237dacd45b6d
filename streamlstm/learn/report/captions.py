"""The texts below the plots, and what the columns of the tables mean."""

LAST = "The last rows: what was forecast, drawn at the time that it spoke of, and what came."
WORST = "The rows where the errors were largest."
OVER_TIME = "The error over time, beside those of simple forecasts of the same values."
HOURS = "Errors by the hour of the day."
DAYS = "Errors by the day of the week."
RELIABILITY = (
    "The share of values inside each interval, over the share that it promises: on the line it "
    "keeps its promise, below it the interval is too narrow."
)
CURVE = (
    "The validation error is measured on rows that the network does not learn from; below 1 it is "
    "better than saying that nothing changes."
)
CLASS_CURVE = (
    "The validation error is the cross entropy of rows that the network does not learn from; below "
    "1 it is better than telling the frequencies of the classes."
)

_TERMS = {
    "mae": "mean absolute error: how far forecasts were from what came, on average, in the unit of "
    "the column",
    "rmse": "root of the mean squared error, in the same unit: large errors count more",
    "bias": "mean of forecast less value: above 0 forecasts are too high",
    "mase": "mae as a share of the usual change from one row to the next: comparable between "
    "series",
    "persistence, season, autoregression": "mae of simple forecasts of the same values: the last "
    "value; the value a season ago; a linear autoregression of the last 32 changes, which has seen "
    "only earlier rows",
    "of the best": "mae as a share of that of the best of these",
    "Winkler score": "mean width of an interval, and a penalty for each value outside: lower is "
    "better",
    "worst 500 rows": "the share inside in the window of 500 rows where it was furthest from what "
    "is promised",
}
GLOSSARY = (
    "<details><summary>What the columns mean</summary><dl>"
    + "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in _TERMS.items())
    + "</dl></details>"
)
