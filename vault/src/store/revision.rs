//! The revision: a number that every change raises, by which other nodes and commands are noticed.

use super::db::{Link, on};

/// The last statement of a change, for it makes changes queue.
pub(crate) async fn raise(link: Link<'_>) -> Result<i64, sqlx::Error> {
    on!(link, c => {
        sqlx::query_scalar("UPDATE revision SET number = number + 1 WHERE one = 1 RETURNING number")
            .fetch_one(c)
            .await
    })
}

/// Makes transactions that hold it run one after the other.
pub(crate) async fn hold(link: Link<'_>) -> Result<(), sqlx::Error> {
    on!(link, c => {
        sqlx::query("UPDATE revision SET number = number WHERE one = 1").execute(c).await.map(|_| ())
    })
}

pub(crate) async fn read(link: Link<'_>) -> Result<i64, sqlx::Error> {
    on!(link, c => sqlx::query_scalar("SELECT number FROM revision WHERE one = 1").fetch_one(c).await)
}
