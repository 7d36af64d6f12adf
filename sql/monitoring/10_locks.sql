-- 10 Locks
-- Tells: who waits for a lock in this database, for how long, and behind whom.
-- Thresholds: fewer than 10 waiting is normal; one that waits for over 10 s is to be looked into. What
--   blocks most is found in blocked_by: look it up in query 2.
SELECT /* migration-assets */
    l.pid,
    round(extract(epoch FROM clock_timestamp() - l.waitstart)::numeric, 1) AS waits_seconds,
    l.locktype AS lock_type,
    CASE WHEN l.database = d.oid THEN l.relation::regclass::text END AS relation,
    l.mode,
    l.transactionid::text AS transaction,
    pg_blocking_pids(l.pid) AS blocked_by,
    a.application_name AS application
FROM pg_locks l
JOIN pg_database d ON d.datname = current_database()
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted
    AND (l.database IS NULL OR l.database IN (0, d.oid))
    AND (a.datid IS NULL OR a.datid = d.oid)
ORDER BY waits_seconds DESC NULLS LAST, l.pid;
