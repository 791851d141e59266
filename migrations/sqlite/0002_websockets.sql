-- What only the record of a WebSocket has; null for every other call. `closed_by` is null while it is open.
-- SQLite adds columns one by one, and rewrites no row for it.

ALTER TABLE usage ADD COLUMN messages_in INTEGER;
ALTER TABLE usage ADD COLUMN messages_out INTEGER;
ALTER TABLE usage ADD COLUMN audio_seconds_in REAL;
ALTER TABLE usage ADD COLUMN audio_seconds_out REAL;
ALTER TABLE usage ADD COLUMN close_code INTEGER;
ALTER TABLE usage ADD COLUMN closed_by TEXT;
