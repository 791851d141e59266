//! Cuts long input where a speaker would breathe.

/// Pieces of at most `limit` characters each, cut at sentence ends, else at clause ends, else between words, else
/// between characters. Joined they are the input. `wide_count_double`: as the provider counts.
pub fn split(_input: &str, _limit: usize, _wide_count_double: bool) -> Vec<&str> {
    todo!()
}
