//! What every test stands on: a gateway process between fakes and a database of its own, and the search for
//! leaked secrets that ends each run.

pub mod answer;
mod asks;
pub mod calls;
pub mod command;
pub mod config;
pub mod dial;
pub mod direct;
pub mod node;
pub mod planted;
pub mod realtime;
pub mod relay;
pub mod sdk;
pub mod secure;
pub mod socket;
pub mod sound;
pub mod talk;
pub mod unified;
pub mod world;

pub use answer::Answer;
pub use asks::User;
pub use planted::Planted;
pub use world::{Database, World};

/// Runs each scenario on SQLite and on Postgres.
macro_rules! on_both_databases {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario(crate::harness::Database::Sqlite).await
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario(crate::harness::Database::Postgres).await
                }
            )+
        }
    };
}
pub(crate) use on_both_databases;
