-- Bookkeeping of the migration. Generated from the model by `migration-assets sql`; do not edit.

CREATE SCHEMA IF NOT EXISTS migration;

CREATE TABLE IF NOT EXISTS migration.batches (
  load_id UUID NOT NULL,
  number INTEGER NOT NULL,
  range JSONB NOT NULL,
  lines BIGINT,
  digest TEXT,
  bytes_digest TEXT,
  tally JSONB,
  committed_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT batches_pkey PRIMARY KEY (load_id, number)
);

COMMENT ON TABLE migration.batches IS 'The ledger of ranges: each commits together with its rows in staging.';

CREATE TABLE IF NOT EXISTS migration.check_results (
  target_table TEXT NOT NULL,
  check_name TEXT NOT NULL,
  load_id UUID,
  passed BOOLEAN NOT NULL,
  severity TEXT NOT NULL,
  summary TEXT NOT NULL,
  evidence JSONB NOT NULL,
  evaluated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  versions JSONB,
  rows_mark TEXT,
  books_mark TEXT,
  CONSTRAINT check_results_pkey PRIMARY KEY (target_table, check_name)
);

COMMENT ON TABLE migration.check_results IS 'The latest result of every check.';

CREATE TABLE IF NOT EXISTS migration.conversions (
  target_table TEXT NOT NULL,
  collection TEXT NOT NULL,
  field TEXT NOT NULL,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  count BIGINT NOT NULL,
  CONSTRAINT conversions_pkey PRIMARY KEY (target_table, collection, field, kind, reason)
);

COMMENT ON TABLE migration.conversions IS 'Lossless conversions, counted.';

CREATE TABLE IF NOT EXISTS migration.created_objects (
  kind TEXT NOT NULL,
  schema TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
  CONSTRAINT created_objects_pkey PRIMARY KEY (kind, schema, name)
);

COMMENT ON TABLE migration.created_objects IS 'What this project created in the database: what a rollback removes, and nothing else.';

CREATE TABLE IF NOT EXISTS migration.document_digests (
  load_id UUID NOT NULL,
  number INTEGER NOT NULL,
  target_table TEXT NOT NULL,
  keys BYTEA NOT NULL,
  digests BYTEA NOT NULL,
  CONSTRAINT document_digests_pkey PRIMARY KEY (load_id, number)
);

COMMENT ON TABLE migration.document_digests IS 'What tells the next load of a table which documents are others, a row for each range.';

CREATE TABLE IF NOT EXISTS migration.issues (
  target_table TEXT NOT NULL,
  collection TEXT NOT NULL,
  source_id TEXT NOT NULL,
  field TEXT NOT NULL,
  kind TEXT NOT NULL,
  element INTEGER,
  reason TEXT NOT NULL,
  original TEXT NOT NULL,
  accepted_by TEXT,
  CONSTRAINT issues_kind_check CHECK (kind IN ('altered', 'nulled', 'orphaned'))
);

COMMENT ON TABLE migration.issues IS 'Lossy conversions, one row each, with the original value.';

CREATE INDEX IF NOT EXISTS issues_source_id_idx ON migration.issues USING hash (source_id);

CREATE INDEX IF NOT EXISTS issues_target_table_idx ON migration.issues (target_table);

CREATE TABLE IF NOT EXISTS migration.loads (
  id UUID NOT NULL,
  target_table TEXT NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  plan TEXT NOT NULL,
  removals TEXT,
  remediations TEXT NOT NULL,
  program TEXT,
  base UUID,
  version UUID,
  fingerprints JSONB NOT NULL,
  source JSONB,
  statistics JSONB NOT NULL,
  documents TEXT,
  rows_mark TEXT,
  books_mark TEXT,
  transaction BIGINT,
  CONSTRAINT loads_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE migration.loads IS 'The ledger of loads: one row each time a table was brought to the source''s state.';

CREATE INDEX IF NOT EXISTS loads_target_table_idx ON migration.loads (target_table);

CREATE TABLE IF NOT EXISTS migration.monitoring_samples (
  taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
  database_bytes BIGINT NOT NULL,
  status TEXT NOT NULL,
  kpis JSONB NOT NULL,
  counters JSONB NOT NULL,
  statements JSONB,
  CONSTRAINT monitoring_samples_pkey PRIMARY KEY (taken_at)
);

COMMENT ON TABLE migration.monitoring_samples IS 'The history of monitoring after go-live.';

CREATE TABLE IF NOT EXISTS migration.pending_deletes (
  target_table TEXT NOT NULL,
  id UUID NOT NULL,
  CONSTRAINT pending_deletes_pkey PRIMARY KEY (target_table, id)
);

COMMENT ON TABLE migration.pending_deletes IS 'Rows whose document is gone, kept until no row of another table refers to them.';

CREATE TABLE IF NOT EXISTS migration.rejected_documents (
  target_table TEXT NOT NULL,
  collection TEXT NOT NULL,
  source_id TEXT NOT NULL,
  field TEXT,
  reason TEXT NOT NULL,
  document TEXT NOT NULL,
  accepted_by TEXT,
  deferred_until TEXT
);

COMMENT ON TABLE migration.rejected_documents IS 'Documents that did not become a row, whole.';

CREATE INDEX IF NOT EXISTS rejected_documents_source_id_idx ON migration.rejected_documents USING hash (source_id);

CREATE INDEX IF NOT EXISTS rejected_documents_target_table_idx ON migration.rejected_documents (target_table);

CREATE TABLE IF NOT EXISTS migration.remediations (
  target_table TEXT NOT NULL,
  collection TEXT NOT NULL,
  source_id TEXT NOT NULL,
  field TEXT NOT NULL,
  rule TEXT NOT NULL,
  element INTEGER,
  original TEXT,
  replacement TEXT
);

COMMENT ON TABLE migration.remediations IS 'Values that a remediation changed before conversion, with the original.';

CREATE INDEX IF NOT EXISTS remediations_source_id_idx ON migration.remediations USING hash (source_id);

CREATE INDEX IF NOT EXISTS remediations_target_table_idx ON migration.remediations (target_table);

CREATE TABLE IF NOT EXISTS migration.runs (
  id UUID NOT NULL,
  held_as TEXT NOT NULL,
  state TEXT NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE NOT NULL,
  heartbeat_at TIMESTAMP WITH TIME ZONE NOT NULL,
  held_until TIMESTAMP WITH TIME ZONE,
  ended_at TIMESTAMP WITH TIME ZONE,
  moment TEXT,
  CONSTRAINT runs_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE migration.runs IS 'The runs: one at a time holds the target, between its steps too.';

CREATE TABLE IF NOT EXISTS migration.sign_offs (
  signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  verdict TEXT NOT NULL,
  report JSONB NOT NULL,
  approver TEXT,
  role TEXT,
  decision TEXT,
  waivers JSONB,
  digest TEXT,
  withdrawn_at TIMESTAMP WITH TIME ZONE,
  withdrawn_by TEXT,
  withdrawal_reason TEXT,
  CONSTRAINT sign_offs_pkey PRIMARY KEY (signed_at)
);

COMMENT ON TABLE migration.sign_offs IS 'Every sign-off, GO or NO-GO.';

CREATE TABLE IF NOT EXISTS migration.unmapped_fields (
  target_table TEXT NOT NULL,
  collection TEXT NOT NULL,
  source_id TEXT NOT NULL,
  fields TEXT NOT NULL
);

COMMENT ON TABLE migration.unmapped_fields IS 'Fields that the model does not know, kept.';

CREATE INDEX IF NOT EXISTS unmapped_fields_source_id_idx ON migration.unmapped_fields USING hash (source_id);

CREATE INDEX IF NOT EXISTS unmapped_fields_target_table_idx ON migration.unmapped_fields (target_table);

CREATE TABLE IF NOT EXISTS migration.uuid_map (
  collection TEXT NOT NULL,
  id UUID NOT NULL,
  source_id TEXT NOT NULL,
  CONSTRAINT uuid_map_pkey PRIMARY KEY (collection, id)
);

COMMENT ON TABLE migration.uuid_map IS 'The UUID of every document. The primary key proves that the map is one-to-one.';

CREATE SCHEMA IF NOT EXISTS migration_staging;

CREATE UNLOGGED TABLE IF NOT EXISTS migration_staging."books.rejected_documents"
  (LIKE migration.rejected_documents);

CREATE UNLOGGED TABLE IF NOT EXISTS migration_staging."books.issues"
  (LIKE migration.issues);

CREATE UNLOGGED TABLE IF NOT EXISTS migration_staging."books.conversions"
  (LIKE migration.conversions);

CREATE UNLOGGED TABLE IF NOT EXISTS migration_staging."books.unmapped_fields"
  (LIKE migration.unmapped_fields);

CREATE UNLOGGED TABLE IF NOT EXISTS migration_staging."books.remediations"
  (LIKE migration.remediations);

COMMENT ON SCHEMA migration IS 'bookkeeping of migration-assets, version b058da2882a1329b';
