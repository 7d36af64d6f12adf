"""Watching the target after go-live: queries, KPIs, history, forecast, alerts (operations, section 4).

Plain functions and data; neither Dagster nor the terminal is known here. The way of a number: a query or
a file of the host gives it to a *sample*, two samples give a *reading*, the thresholds of a *KPI* give
the reading its *status*.
"""
