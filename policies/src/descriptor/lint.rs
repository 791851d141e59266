//! l
pub(super) fn lint(_p: &super::Provider, _f: &mut super::errors::Findings<'_>) {}
