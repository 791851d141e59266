//! Whose credential pays for a call: the user's own, else a team's; the system's when none of these exists.
//!
//! The first that exists decides, also when its provider has refused it: nobody would notice that someone
//! else pays, or that their key is dead.

use crate::vocabulary::{Caller, Owner};

/// In the order in which they count. The system comes after all of them.
pub fn payers(caller: &Caller) -> impl Iterator<Item = Owner> + use<'_> {
    let own = std::iter::once(Owner::User(caller.user.clone()));
    own.chain(caller.teams.iter().cloned().map(Owner::Team))
}
