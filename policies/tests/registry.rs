//! One shared set of expectations over every built-in descriptor.
use policies::descriptor::Providers;

#[test]
fn built_in_descriptors_are_right() {
    Providers::built_in().unwrap_or_else(|errors| panic!("{errors}"));
}
