-- The first layout. The same tables as for SQLite, in this database's types.

-- Which master keys seal what is here. `proof` opens only with the very key, so that a wrong key file is
-- recognised before anything is touched. A key that credentials refer to cannot be deleted.
CREATE TABLE master_keys (
    id         TEXT PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    proof      BYTEA NOT NULL
);

CREATE TABLE credentials (
    id                UUID PRIMARY KEY,
    owner_kind        TEXT NOT NULL CHECK (owner_kind IN ('user', 'team', 'system')),
    owner_id          TEXT NOT NULL,
    provider          TEXT NOT NULL,
    version           BIGINT NOT NULL,
    kek_id            TEXT NOT NULL REFERENCES master_keys (id),
    wrapped_dek       BYTEA NOT NULL,
    wrap_nonce        BYTEA NOT NULL,
    sealed            BYTEA NOT NULL,
    seal_nonce        BYTEA NOT NULL,
    masked_key        TEXT NOT NULL,
    settings          JSONB NOT NULL,
    hosts             JSONB NOT NULL,
    status            TEXT NOT NULL,
    status_reason     TEXT,
    status_detail     TEXT,
    last_validated_at TIMESTAMPTZ NOT NULL,
    created_at        TIMESTAMPTZ NOT NULL,
    updated_at        TIMESTAMPTZ NOT NULL,
    UNIQUE (owner_kind, owner_id, provider)
);

CREATE INDEX credentials_by_master_key ON credentials (kek_id, id);

-- The highest version an owner ever had with a provider. Outlives the credential, so that neither an older
-- nor a deleted row opens when it is put back.
CREATE TABLE credential_marks (
    owner_kind TEXT NOT NULL,
    owner_id   TEXT NOT NULL,
    provider   TEXT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (owner_kind, owner_id, provider)
);

CREATE TABLE selections (
    owner_kind TEXT NOT NULL CHECK (owner_kind IN ('user', 'team', 'system')),
    owner_id   TEXT NOT NULL,
    operation  TEXT NOT NULL,
    selection  JSONB NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (owner_kind, owner_id, operation)
);

-- Of the token itself there is only the SHA-256.
CREATE TABLE tokens (
    id           UUID PRIMARY KEY,
    hash         BYTEA NOT NULL UNIQUE,
    user_id      TEXT NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    scopes       JSONB,
    roles        JSONB NOT NULL,
    teams        JSONB NOT NULL,
    admin_of     JSONB NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ
);

CREATE INDEX tokens_by_user ON tokens (user_id, created_at, id);

-- `sequence` orders the record; it never repeats.
CREATE TABLE audit (
    sequence   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         UUID NOT NULL UNIQUE,
    at         TIMESTAMPTZ NOT NULL,
    user_id    TEXT,
    action     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    owner      TEXT,
    provider   TEXT,
    ip         TEXT,
    request_id UUID NOT NULL,
    detail     TEXT
);

CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_user ON audit (user_id, at, id);
CREATE INDEX audit_by_owner ON audit (owner, at, id);

-- In the order of time, for rows to come in at the end. `day` is the date of `at` in UTC: what summaries group by.
CREATE TABLE usage (
    id                  UUID NOT NULL,
    at                  TIMESTAMPTZ NOT NULL,
    day                 TEXT NOT NULL,
    user_id             TEXT NOT NULL,
    token_id            UUID,
    provider            TEXT NOT NULL,
    model               TEXT,
    operation           TEXT NOT NULL,
    mode                TEXT NOT NULL,
    credential_id       UUID,
    credential_source   TEXT NOT NULL,
    status              BIGINT,
    outcome             TEXT NOT NULL,
    bytes_in            BIGINT NOT NULL,
    bytes_out           BIGINT NOT NULL,
    characters          BIGINT,
    audio_seconds       DOUBLE PRECISION,
    estimated_cost      DOUBLE PRECISION,
    ttfb_ms             BIGINT,
    duration_ms         BIGINT NOT NULL,
    attempt             BIGINT NOT NULL,
    request_id          UUID NOT NULL,
    provider_request_id TEXT,
    PRIMARY KEY (at, id)
);

CREATE INDEX usage_by_user ON usage (user_id, at, id);

-- Raised by every change that caches must notice.
CREATE TABLE revision (
    one    BIGINT PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL
);

INSERT INTO revision (one, number) VALUES (1, 0);
