-- The first layout. STRICT tables: a value of another type is an error, not a surprise later.

-- Which master keys seal what is here. `proof` opens only with the very key, so that a wrong key file is
-- recognised before anything is touched. A key that credentials refer to cannot be deleted.
CREATE TABLE master_keys (
    id         TEXT PRIMARY KEY,
    created_at TEXT NOT NULL,
    proof      BLOB NOT NULL
) STRICT;

CREATE TABLE credentials (
    id                BLOB PRIMARY KEY,
    owner_kind        TEXT NOT NULL CHECK (owner_kind IN ('user', 'team', 'system')),
    owner_id          TEXT NOT NULL,
    provider          TEXT NOT NULL,
    version           INTEGER NOT NULL,
    kek_id            TEXT NOT NULL REFERENCES master_keys (id),
    wrapped_dek       BLOB NOT NULL,
    wrap_nonce        BLOB NOT NULL,
    sealed            BLOB NOT NULL,
    seal_nonce        BLOB NOT NULL,
    masked_key        TEXT NOT NULL,
    settings          TEXT NOT NULL,
    hosts             TEXT NOT NULL,
    status            TEXT NOT NULL,
    status_reason     TEXT,
    status_detail     TEXT,
    last_validated_at TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    UNIQUE (owner_kind, owner_id, provider)
) STRICT;

CREATE INDEX credentials_by_master_key ON credentials (kek_id, id);

-- The highest version an owner ever had with a provider. Outlives the credential, so that neither an older
-- nor a deleted row opens when it is put back.
CREATE TABLE credential_marks (
    owner_kind TEXT NOT NULL,
    owner_id   TEXT NOT NULL,
    provider   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (owner_kind, owner_id, provider)
) STRICT;

CREATE TABLE selections (
    owner_kind TEXT NOT NULL CHECK (owner_kind IN ('user', 'team', 'system')),
    owner_id   TEXT NOT NULL,
    operation  TEXT NOT NULL,
    selection  TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (owner_kind, owner_id, operation)
) STRICT;

-- Of the token itself there is only the SHA-256.
CREATE TABLE tokens (
    id           BLOB PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE,
    user_id      TEXT NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    scopes       TEXT,
    roles        TEXT NOT NULL,
    teams        TEXT NOT NULL,
    admin_of     TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    expires_at   TEXT,
    last_used_at TEXT,
    revoked_at   TEXT
) STRICT;

CREATE INDEX tokens_by_user ON tokens (user_id, created_at, id);

-- `sequence` orders the record; it never repeats, also after deletion.
CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB NOT NULL UNIQUE,
    at         TEXT NOT NULL,
    user_id    TEXT,
    action     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    owner      TEXT,
    provider   TEXT,
    ip         TEXT,
    request_id BLOB NOT NULL,
    detail     TEXT
) STRICT;

CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_user ON audit (user_id, at, id);
CREATE INDEX audit_by_owner ON audit (owner, at, id);

-- In the order of time, for rows to come in at the end. `day` is the date of `at` in UTC: what summaries group by.
CREATE TABLE usage (
    id                  BLOB NOT NULL,
    at                  TEXT NOT NULL,
    day                 TEXT NOT NULL,
    user_id             TEXT NOT NULL,
    token_id            BLOB,
    provider            TEXT NOT NULL,
    model               TEXT,
    operation           TEXT NOT NULL,
    mode                TEXT NOT NULL,
    credential_id       BLOB,
    credential_source   TEXT NOT NULL,
    status              INTEGER,
    outcome             TEXT NOT NULL,
    bytes_in            INTEGER NOT NULL,
    bytes_out           INTEGER NOT NULL,
    characters          INTEGER,
    audio_seconds       REAL,
    estimated_cost      REAL,
    ttfb_ms             INTEGER,
    duration_ms         INTEGER NOT NULL,
    attempt             INTEGER NOT NULL,
    request_id          BLOB NOT NULL,
    provider_request_id TEXT,
    PRIMARY KEY (at, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_by_user ON usage (user_id, at, id);

-- Raised by every change that caches must notice.
CREATE TABLE revision (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO revision (one, number) VALUES (1, 0);
