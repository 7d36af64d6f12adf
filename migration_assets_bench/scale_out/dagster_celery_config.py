"""What each Celery worker runs by; dagster-celery looks for a module of this name.

A step is acknowledged when it has ended, so that the broker gives the step of a dead host to another one.
The broker notices a dead host by its heartbeat, and must not do so before PostgreSQL does, by its
keepalives (60 s): until then the transaction of the dead step holds its table.
"""

import os

broker_url = os.environ["CELERY_BROKER_URL"]
broker_heartbeat = 60
broker_connection_retry_on_startup = True
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_send_task_events = False
