//! The templates of descriptors: minijinja, with every hole escaped for where it stands.
