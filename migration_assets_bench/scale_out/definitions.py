"""NextCRM's graph, its steps distributed by Celery: what the launching host and each worker load."""

from dagster_celery import celery_executor

from migration_assets.definitions import build_defs

defs = build_defs(
    executor=celery_executor.configured({"broker": {"env": "CELERY_BROKER_URL"}}, name="celery")
)
