-- What only the record of a WebSocket has; null for every other call. `closed_by` is null while it is open.

ALTER TABLE usage
    ADD COLUMN messages_in       BIGINT,
    ADD COLUMN messages_out      BIGINT,
    ADD COLUMN audio_seconds_in  DOUBLE PRECISION,
    ADD COLUMN audio_seconds_out DOUBLE PRECISION,
    ADD COLUMN close_code        BIGINT,
    ADD COLUMN closed_by         TEXT;
