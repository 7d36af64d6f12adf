"""PostgreSQL: connection, schema, bookkeeping tables, catalog, constraints."""
