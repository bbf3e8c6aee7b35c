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
    let mut placed = Placed::new(values);
    for i in order {
        let value = values[i];
        let mut offset = 0u64;
        // Sorted by offset: the first gap that is wide enough is the lowest.
        for (start, other) in placed
            .beside(values, &layout.offsets, i)
            .into_iter()
            .map(|j| (layout.offsets[j], values[j]))
        {
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
        if value.bytes > 0 {
            placed.insert(values, &layout.offsets, i);
        }
    }
    Ok(layout)
}

/// Values that have their place, looked up by life: a long graph has many values, of which few live at one time.
///
/// Of two lives that overlap, one begins in the other. So time is counted in beginnings, and the values that live with
/// a given one are those that live when it begins (kept in a segment tree, each at the few nodes that make up its
/// life) and those that begin later in its own life. Where these are many, a look at every value is as good.
struct Placed {
    /// Values placed, by offset.
    all: Vec<usize>,
    /// The steps at which values begin, sorted, each once.
    begins: Vec<u32>,
    /// Values placed, by the beginning at which they begin.
    at: Vec<Vec<usize>>,
    /// A segment tree over beginnings: node n has the children 2n and 2n + 1, the leaves are its second half.
    tree: Vec<Vec<usize>>,
}

impl Placed {
    fn new(values: &[Lifetime]) -> Self {
        let mut begins: Vec<u32> = values.iter().map(|value| value.first).collect();
        begins.sort_unstable();
        begins.dedup();
        Self {
            all: Vec::with_capacity(values.len()),
            at: alloc::vec![Vec::new(); begins.len()],
            tree: alloc::vec![Vec::new(); 2 * begins.len()],
            begins,
        }
    }

    /// A life as beginnings: the first, and the one after the last.
    fn span(&self, value: &Lifetime) -> (usize, usize) {
        let low = self.begins.partition_point(|&step| step < value.first);
        let high = self.begins.partition_point(|&step| step <= value.last);
        // A life that ends before it begins still is one step.
        (low, high.max(low + 1))
    }

    fn insert(&mut self, values: &[Lifetime], offsets: &[u64], i: usize) {
        let place = self.all.partition_point(|&j| offsets[j] <= offsets[i]);
        self.all.insert(place, i);
        let (low, high) = self.span(&values[i]);
        self.at[low].push(i);
        let (mut low, mut high) = (low + self.begins.len(), high + self.begins.len());
        while low < high {
            if low % 2 == 1 {
                self.tree[low].push(i);
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                self.tree[high].push(i);
            }
            (low, high) = (low / 2, high / 2);
        }
    }

    /// The values placed that live with value `i` for a while, by offset.
    fn beside(&self, values: &[Lifetime], offsets: &[u64], i: usize) -> Vec<usize> {
        match self.few_beside(values, i) {
            Some(mut few) => {
                few.sort_unstable_by_key(|&j| offsets[j]);
                few
            }
            None => {
                let lives = self.all.iter().copied();
                lives.filter(|&j| overlap(&values[i], &values[j])).collect()
            }
        }
    }

    /// Those values, each once, in no order; none where finding them takes longer than a look at every value.
    fn few_beside(&self, values: &[Lifetime], i: usize) -> Option<Vec<usize>> {
        let (low, high) = self.span(&values[i]);
        let most = self.all.len() / 8;
        if high - low > most + 1 {
            return None;
        }
        let mut found: Vec<usize> = self.at[low + 1..high].iter().flatten().copied().collect();
        let mut node = low + self.begins.len();
        while node > 0 && found.len() <= most {
            found.extend_from_slice(&self.tree[node]);
            node /= 2;
        }
        (node == 0).then_some(found)
    }
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

    /// A layout by looking at every value placed: what [`plan`] must give, in a time that does not matter here.
    fn plainly(values: &[Lifetime], alignment: u64) -> Vec<u64> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&i| (core::cmp::Reverse(values[i].bytes), i));
        let mut offsets = vec![0; values.len()];
        let mut placed: Vec<usize> = Vec::new();
        for i in order {
            let mut beside: Vec<usize> = placed.clone();
            beside.retain(|&j| values[j].bytes > 0 && overlap(&values[i], &values[j]));
            beside.sort_by_key(|&j| offsets[j]);
            let mut offset = 0u64;
            for j in beside {
                if offset + values[i].bytes <= offsets[j] {
                    break;
                }
                offset = offset.max((offsets[j] + values[j].bytes).next_multiple_of(alignment));
            }
            offsets[i] = offset;
            placed.push(i);
        }
        offsets
    }

    proptest! {
        #[test]
        fn lives_that_overlap_do_not_share_bytes(
            values in proptest::collection::vec((0u64..500, 0u32..100, 0u32..6), 0..120),
        ) {
            let values: Vec<Lifetime> = values.into_iter()
                .map(|(bytes, first, more)| Lifetime { bytes, first, last: first + more })
                .collect();
            let layout = plan(&values, 64, u64::MAX).unwrap();
            prop_assert_eq!(&layout.offsets, &plainly(&values, 64));
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
