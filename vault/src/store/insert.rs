//! Inserting many rows with few statements: of a few fixed sizes, so that a connection parses each of them once.

use super::db::Link;

/// How many rows a statement takes, the most first.
const SIZES: [usize; 3] = [64, 8, 1];

/// The texts of one insertion, for each of [`SIZES`].
pub(crate) struct Insertion {
    sqlite: [String; SIZES.len()],
    postgres: [String; SIZES.len()],
}

impl Insertion {
    /// `unless` is what follows the rows: when one of them is passed over.
    pub fn new(table: &str, columns: &[&str], unless: &str) -> Self {
        let text = |place: fn(usize) -> String| {
            SIZES.map(|rows| {
                let row = |row: usize| {
                    let places: Vec<String> = (1..=columns.len())
                        .map(|column| place(row * columns.len() + column))
                        .collect();
                    format!("({})", places.join(", "))
                };
                let rows: Vec<String> = (0..rows).map(row).collect();
                format!(
                    "INSERT INTO {table} ({}) VALUES {} {unless}",
                    columns.join(", "),
                    rows.join(", ")
                )
            })
        };
        Self {
            // SQLite looks numbered places up one by one.
            sqlite: text(|_| "?".to_owned()),
            postgres: text(|place| format!("${place}")),
        }
    }

    /// The rows in groups, each with the statement that takes it.
    pub fn groups<'a, T>(
        &'static self,
        link: &Link<'_>,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> + use<'a, T> {
        let texts = match link {
            Link::Sqlite(_) => &self.sqlite,
            Link::Postgres(_) => &self.postgres,
        };
        std::iter::from_fn(move || {
            let size = SIZES.iter().position(|size| *size <= rows.len())?;
            let (group, rest) = rows.split_at(SIZES[size]);
            rows = rest;
            Some((texts[size].as_str(), group))
        })
    }
}
