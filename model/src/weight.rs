//! What a task's priority adds up to along the graph.

use crate::graph::{Graph, TaskIndex};

crate::state::named!(
    /// How the priority weights of other tasks count for one (Airflow's `priority_strategy.py`).
    WeightRule, "weight rule" {
        /// Its own and those of all tasks below it: what much waits for goes first.
        Downstream = "downstream",
        /// Its own and those of all tasks above it: runs that are far on are finished first.
        Upstream = "upstream",
        /// Its own alone.
        Absolute = "absolute",
    }
);

/// The bounds of a total, as in Airflow: 32 bits.
const TOTAL: std::ops::RangeInclusive<i64> = (i32::MIN as i64)..=(i32::MAX as i64);

/// The total weight of each task, from the tasks' own weights and rules.
///
/// A task that can be reached by several ways counts once.
pub fn totals(graph: &Graph, own: &[i64], rules: &[WeightRule]) -> Vec<i64> {
    let below = rules
        .contains(&WeightRule::Downstream)
        .then(|| reached(graph, own, true));
    let above = rules
        .contains(&WeightRule::Upstream)
        .then(|| reached(graph, own, false));
    let total = |at: usize| match rules[at] {
        WeightRule::Downstream => below.as_ref().map_or(own[at], |sums| sums[at]),
        WeightRule::Upstream => above.as_ref().map_or(own[at], |sums| sums[at]),
        WeightRule::Absolute => own[at],
    };
    (0..own.len())
        .map(|at| total(at).clamp(*TOTAL.start(), *TOTAL.end()))
        .collect()
}

/// Tasks whose reach is walked one by one; more are counted by blocks.
const WALKS_MAX: usize = 64;

/// For each task the sum of its own weight and of all that can be reached from it.
fn reached(graph: &Graph, own: &[i64], downstream: bool) -> Vec<i64> {
    let next = |at: TaskIndex| {
        if downstream {
            graph.downstream(at)
        } else {
            graph.upstream(at)
        }
    };
    let forking = (0..own.len() as u32).filter(|&at| next(TaskIndex(at)).len() > 1);
    let forking: Vec<TaskIndex> = forking.map(TaskIndex).collect();
    if forking.len() > WALKS_MAX {
        return by_blocks(graph, own, downstream);
    }
    let mut sums = own.to_vec();
    for &at in &forking {
        let all = graph.reach(&[at], downstream);
        sums[at.at()] = all.iter().map(|other| own[other.at()]).sum();
    }
    for at in against(graph, downstream) {
        if let [only] = next(at) {
            sums[at.at()] = own[at.at()] + sums[only.at()];
        }
    }
    sums
}

/// An order in which each task stands after all that it leads to.
fn against(graph: &Graph, downstream: bool) -> Vec<TaskIndex> {
    let mut order = graph.order().to_vec();
    if downstream {
        order.reverse();
    }
    order
}

/// Tasks whose reach is found together, a bit for each.
const BLOCK: usize = 512;
type Bits = [u64; BLOCK / 64];

/// The same for graphs with many forks: blocks of targets are carried along the whole graph, a
/// bit each. Targets of one weight share a block, so that most blocks need only be counted; within
/// a weight they stand in the graph's order, so that tasks past the last of them are left out.
fn by_blocks(graph: &Graph, own: &[i64], downstream: bool) -> Vec<i64> {
    let mut targets: Vec<usize> = (0..own.len()).collect();
    let order = against(graph, downstream);
    let mut place = vec![0usize; own.len()];
    for (at, task) in order.iter().enumerate() {
        place[task.at()] = at;
    }
    targets.sort_by_key(|&at| (own[at], place[at]));
    let mut sums = vec![0i64; own.len()];
    let mut bits: Vec<Bits> = vec![[0; BLOCK / 64]; own.len()];
    for block in targets.chunks(BLOCK) {
        bits.fill([0; BLOCK / 64]);
        for (bit, &at) in block.iter().enumerate() {
            bits[at][bit / 64] |= 1 << (bit % 64);
        }
        let weights: Vec<i64> = block.iter().map(|&at| own[at]).collect();
        let first = block.iter().map(|&at| place[at]).min().unwrap_or(0);
        for &at in &order[first..] {
            let leads_to = if downstream {
                graph.downstream(at)
            } else {
                graph.upstream(at)
            };
            let mut all = bits[at.at()];
            for other in leads_to {
                let theirs = &bits[other.at()];
                all.iter_mut().zip(theirs).for_each(|(a, b)| *a |= b);
            }
            bits[at.at()] = all;
            sums[at.at()] += sum(&all, &weights);
        }
    }
    sums
}

fn sum(bits: &Bits, weights: &[i64]) -> i64 {
    if weights.first() == weights.last() {
        let n: u32 = bits.iter().map(|word| word.count_ones()).sum();
        return i64::from(n) * weights.first().copied().unwrap_or(0);
    }
    let mut total = 0;
    for (place, word) in bits.iter().enumerate() {
        let mut left = *word;
        while left != 0 {
            total += weights[place * 64 + left.trailing_zeros() as usize];
            left &= left - 1;
        }
    }
    total
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Source: Airflow's `task/priority_strategy.py`, the three `get_weight`.
    #[test]
    fn a_diamond_counts_its_join_once() {
        let graph = Graph::new(4, vec![(0, 1), (0, 2), (1, 3), (2, 3)]).unwrap();
        let own = [1, 10, 100, 1000];
        let all = |rule| totals(&graph, &own, &[rule; 4]);
        assert_eq!(all(WeightRule::Downstream), [1111, 1010, 1100, 1000]);
        assert_eq!(all(WeightRule::Upstream), [1, 11, 101, 1111]);
        assert_eq!(all(WeightRule::Absolute), own);
    }

    /// Source: Airflow's `bases/operator.py: db_safe_priority`.
    #[test]
    fn a_total_stays_within_32_bits() {
        let graph = Graph::new(2, vec![(0, 1)]).unwrap();
        let (most, least) = (i64::from(i32::MAX), i64::from(i32::MIN));
        for (own, bound) in [(most, most), (-most, least)] {
            let down = totals(&graph, &[own, own], &[WeightRule::Downstream; 2]);
            assert_eq!(down, [bound, own]);
            let up = totals(&graph, &[own, own], &[WeightRule::Upstream; 2]);
            assert_eq!(up, [own, bound]);
        }
    }

    proptest! {
        #[test]
        fn every_way_of_adding_agrees(
            n in 1usize..90,
            seeds in proptest::collection::vec((0usize..90, 0usize..90), 0..300),
            weights in proptest::collection::vec(-3i64..4, 90),
        ) {
            let edges = seeds.into_iter().filter(|(from, to)| from < to && *to < n);
            let edges = edges.map(|(from, to)| (from as u32, to as u32)).collect();
            let graph = Graph::new(n, edges).unwrap();
            let own = &weights[..n];
            for downstream in [true, false] {
                let plain: Vec<i64> = (0..n as u32)
                    .map(|at| graph.reach(&[TaskIndex(at)], downstream).iter().map(|other| own[other.at()]).sum())
                    .collect();
                prop_assert_eq!(&reached(&graph, own, downstream), &plain);
                prop_assert_eq!(&by_blocks(&graph, own, downstream), &plain);
            }
        }
    }
}
