//! Where every intermediate lies in one arena.
//!
//! Each value lives from the step that writes it to the last that reads it; two values may share bytes if their
//! lives do not overlap. Placing by falling size, each at the lowest offset that is free during its life, is
//! within a few per cent of the best layout on real networks (Pisarchyk and Lee, "Efficient Memory Management
//! for Deep Neural Net Inference", MLSys 2020 workshop, "greedy by size for offset calculation").

use crate::error::CoreError;
use alloc::string::ToString;
use alloc::vec::Vec;

/// One value to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Size in bytes.
    pub bytes: u64,
    /// Step that writes it.
    pub first: u32,
    /// Last step that reads it, not before `first`.
    pub last: u32,
}

/// Offsets, one for each value in the order given, and the arena's size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Byte offsets.
    pub offsets: Vec<u64>,
    /// Size in bytes.
    pub len: u64,
}

/// Lays values out at multiples of `alignment` (a power of two).
///
/// # Errors
/// [`CoreError::TooLarge`] where the arena would be larger than `limit` bytes.
pub fn plan(values: &[Lifetime], alignment: u64, limit: u64) -> Result<Layout, CoreError> {
    let too_large = |bytes| CoreError::TooLarge {
        what: "the arena of intermediates".to_string(),
        bytes,
        limit,
    };
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Ties by index: the same layout on any host.
    order.sort_by_key(|&i| (core::cmp::Reverse(values[i].bytes), i));
    let mut layout = Layout {
        offsets: alloc::vec![0; values.len()],
        len: 0,
    };
    let mut placed: Vec<usize> = Vec::with_capacity(values.len());
    for i in order {
        let value = values[i];
        let overlapping = placed
            .iter()
            .map(|&j| (layout.offsets[j], values[j]))
            .filter(|(_, other)| other.bytes > 0 && overlap(&value, other));
        let mut offset = 0u64;
        // `placed` is sorted by offset: the first gap that is wide enough is the lowest.
        for (start, other) in overlapping {
            if offset.checked_add(value.bytes).is_some_and(|end| end <= start) {
                break;
            }
            let end = start.saturating_add(other.bytes);
            offset = offset.max(
                end.checked_next_multiple_of(alignment)
                    .ok_or_else(|| too_large(u64::MAX))?,
            );
        }
        let end = offset
            .checked_add(value.bytes)
            .ok_or_else(|| too_large(u64::MAX))?;
        if end > limit {
            return Err(too_large(end));
        }
        layout.offsets[i] = offset;
        layout.len = layout.len.max(end);
        let at = placed.partition_point(|&j| layout.offsets[j] <= offset);
        placed.insert(at, i);
    }
    Ok(layout)
}

fn overlap(a: &Lifetime, b: &Lifetime) -> bool {
    a.first <= b.last && b.first <= a.last
}

/// The most bytes that live at one step: no layout can be smaller.
#[must_use]
pub fn lower_bound(values: &[Lifetime]) -> u64 {
    let live_at = |step: u32| {
        values
            .iter()
            .filter(move |v| v.first <= step && step <= v.last)
            .map(|v| v.bytes)
            .sum()
    };
    values.iter().map(|v| live_at(v.first)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_chain_takes_two_buffers() {
        let chain: Vec<Lifetime> = (0..10)
            .map(|i| Lifetime {
                bytes: 64,
                first: i,
                last: i + 1,
            })
            .collect();
        assert_eq!(plan(&chain, 64, 1 << 20).unwrap().len, 128);
    }

    #[test]
    fn a_limit_is_kept() {
        let value = Lifetime {
            bytes: 100,
            first: 0,
            last: 1,
        };
        assert!(matches!(
            plan(&[value, value], 64, 150),
            Err(CoreError::TooLarge { .. })
        ));
        assert!(
            plan(
                &[
                    Lifetime {
                        bytes: u64::MAX,
                        ..value
                    },
                    value
                ],
                64,
                u64::MAX
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn lives_that_overlap_do_not_share_bytes(
            values in proptest::collection::vec((0u64..500, 0u32..20, 0u32..6), 0..40),
        ) {
            let values: Vec<Lifetime> = values.into_iter()
                .map(|(bytes, first, more)| Lifetime { bytes, first, last: first + more })
                .collect();
            let layout = plan(&values, 64, u64::MAX).unwrap();
            for (i, a) in values.iter().enumerate() {
                prop_assert_eq!(layout.offsets[i] % 64, 0);
                prop_assert!(layout.offsets[i] + a.bytes <= layout.len);
                for (j, b) in values.iter().enumerate().skip(i + 1) {
                    let apart = layout.offsets[i] + a.bytes <= layout.offsets[j]
                        || layout.offsets[j] + b.bytes <= layout.offsets[i];
                    prop_assert!(apart || !overlap(a, b) || a.bytes == 0 || b.bytes == 0);
                }
            }
            prop_assert!(layout.len >= lower_bound(&values));
        }
    }

    #[test]
    fn nothing_takes_nothing() {
        assert_eq!(
            plan(&[], 64, 0).unwrap(),
            Layout {
                offsets: vec![],
                len: 0
            }
        );
    }
}
