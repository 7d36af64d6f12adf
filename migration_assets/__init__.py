"""Brings a MongoDB application into PostgreSQL as a graph of Dagster assets, proven on NextCRM."""

import os

from migration_assets.memory import return_large_buffers, share_freed_memory

__version__ = "0.1.0"

# They are here, as they must come before the libraries that start threads.
share_freed_memory()
return_large_buffers()
# Nothing here multiplies matrices, and until somebody does, numpy's threads for that keep the cores busy:
# half of the processor time of importing it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
