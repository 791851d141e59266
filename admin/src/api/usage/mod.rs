//! What was consumed: every provider call, and sums over them.

pub mod list;
pub mod summary;

use policies::vocabulary::{Operation, ProviderId};
use vault::{PageRequest, UsageFilter};

use crate::caller::Proven;
use crate::params::Params;
use crate::problem::Problem;

/// The filters that both calls know.
fn filter(proven: &Proven, params: &mut Params, page: PageRequest) -> Result<UsageFilter, Problem> {
    Ok(UsageFilter {
        user: proven.recorded(params)?,
        provider: params.take("provider").map(ProviderId::new),
        model: params.take("model"),
        operation: params.word("operation", Operation::parse)?,
        from: params.from()?,
        to: params.to()?,
        cursor: page.cursor,
        limit: page.limit,
    })
}
