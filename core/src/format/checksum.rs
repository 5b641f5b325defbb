//! The hash of a table's content that does not depend on the order of its rows.

use xxhash_rust::xxh3::xxh3_128;

/// Counts rows and adds up their hashes.
///
/// The hash of a table is the sum, modulo 2^128, of XXH3-128 (seed 0) of each row's bytes: equal for equal
/// multisets of rows, whatever their order and however they were split among workers. It guards against loss and
/// alteration by accident and is sealed in the manifest; it is not meant to resist an adversary who chooses rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowHasher {
    rows: u64,
    sum: u128,
}

impl RowHasher {
    /// Adds one row.
    pub fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(xxh3_128(row));
    }

    /// Adds all rows that another hasher has seen.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Rows seen.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The hash so far, as 32 hex digits.
    #[must_use]
    pub fn hash(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_grouping_do_not_matter_but_multiplicity_does() {
        let hash = |rows: &[&str]| {
            let mut h = RowHasher::default();
            rows.iter().for_each(|r| h.add(r.as_bytes()));
            h
        };
        let mut merged = hash(&["a"]);
        merged.merge(&hash(&["c", "b"]));
        assert_eq!(merged, hash(&["b", "a", "c"]));
        assert_ne!(hash(&["a", "a"]).hash(), hash(&["a"]).hash());
        assert_ne!(hash(&["ab", "c"]).hash(), hash(&["a", "bc"]).hash());
    }
}
