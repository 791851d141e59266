//! What a call cost at the descriptor's list price. An estimate: plans and discounts are unknown here.

use chrono::NaiveDate;

use crate::descriptor::{Price, Provider, is_one_of};
use crate::meter::Reading;
use crate::vocabulary::Operation;

/// US dollars; `None` when there is no price for that day, or a quantity the price needs was not read.
pub fn estimate(provider: &Provider, operation: Operation, reading: &Reading, on: NaiveDate) -> Option<f64> {
    let model = reading.model.as_deref()?;
    let price = provider.prices.iter().find(|price| {
        price.operation == operation
            && is_one_of(&price.models, model)
            && price.from.is_none_or(|from| from <= on)
            && price.until.is_none_or(|until| on <= until)
    })?;
    total(price, reading)
}

fn total(price: &Price, reading: &Reading) -> Option<f64> {
    let quantities = [
        (
            price.per_million_characters,
            reading.characters.map(|n| n as f64 / 1e6),
        ),
        (
            price.per_hour,
            reading.audio_seconds.map(|seconds| seconds / 3600.0),
        ),
        (
            price.per_million_tokens_in,
            reading.tokens_in.map(|n| n as f64 / 1e6),
        ),
        (
            price.per_million_tokens_out,
            reading.tokens_out.map(|n| n as f64 / 1e6),
        ),
    ];
    let mut total = 0.0;
    for (rate, quantity) in quantities {
        if let Some(rate) = rate {
            total += rate * quantity?;
        }
    }
    Some(total)
}
