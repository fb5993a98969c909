//! Where the boxes of a graph stand: ranks by longest path, order by barycentres, places by
//! isotonic regression. Pure, bounded, and the same for the same input.

use tidemill_model::{Graph, TaskIndex};

/// More nodes than this are not drawn.
pub(crate) const NODES_MAX: usize = 500;
const POINTS_MAX: usize = 20_000;
const SWEEPS: usize = 8;
const ROW: f64 = 64.0;
const GAP: f64 = 18.0;
/// The height of a box.
pub(crate) const BOX: f64 = 30.0;
const MARGIN: f64 = 12.0;

/// A drawing, in pixels.
#[derive(Debug)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// By task: the left upper corner and the width.
    pub(crate) boxes: Vec<(f64, f64, f64)>,
    /// For each edge the points that it goes through, from above to below.
    pub(crate) edges: Vec<Vec<(f64, f64)>>,
}

/// A box, or the place where a long edge passes a row.
struct Point {
    rank: usize,
    width: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Draws a graph whose boxes have these widths; `None` when it is too large.
pub(crate) fn draw(graph: &Graph, widths: &[f64]) -> Option<Drawing> {
    if graph.len() > NODES_MAX || graph.len() != widths.len() {
        return None;
    }
    let (points, chains) = points(graph, widths)?;
    let n_ranks = points.iter().map(|point| point.rank + 1).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); n_ranks];
    for (at, point) in points.iter().enumerate() {
        rows[point.rank].push(at);
    }
    reduce_crossings(&points, &mut rows);
    let mut center = place(&points, &rows);
    let left = points
        .iter()
        .zip(&center)
        .map(|(point, x)| x - point.width / 2.0)
        .fold(f64::INFINITY, f64::min);
    for x in &mut center {
        *x += MARGIN - if left.is_finite() { left } else { 0.0 };
    }
    let top = |at: usize| MARGIN + points[at].rank as f64 * ROW;
    let right = points
        .iter()
        .zip(&center)
        .map(|(point, x)| x + point.width / 2.0)
        .fold(0.0, f64::max);
    let boxes = (0..graph.len())
        .map(|at| (center[at] - widths[at] / 2.0, top(at), widths[at]))
        .collect();
    let edges = chains
        .iter()
        .map(|chain| line(chain, &center, top))
        .collect();
    let height = 2.0 * MARGIN + n_ranks.saturating_sub(1) as f64 * ROW + BOX;
    Some(Drawing {
        width: right + MARGIN,
        height,
        boxes,
        edges,
    })
}

fn line(chain: &[usize], center: &[f64], top: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
    let last = chain.len() - 1;
    let mut line = Vec::with_capacity(chain.len() * 2);
    for (step, &at) in chain.iter().enumerate() {
        if step > 0 {
            line.push((center[at], top(at)));
        }
        if step < last {
            line.push((center[at], top(at) + BOX));
        }
    }
    line
}

/// Points for the tasks, then for the rows that long edges pass; and the points of each edge.
fn points(graph: &Graph, widths: &[f64]) -> Option<(Vec<Point>, Vec<Vec<usize>>)> {
    let mut rank = vec![0usize; graph.len()];
    for &task in graph.order() {
        let above = graph.upstream(task).iter().map(|up| rank[up.at()] + 1);
        rank[task.at()] = above.max().unwrap_or(0);
    }
    let mut points: Vec<Point> = (0..graph.len())
        .map(|at| Point {
            rank: rank[at],
            width: widths[at],
            above: Vec::new(),
            below: Vec::new(),
        })
        .collect();
    let mut chains = Vec::new();
    for (TaskIndex(from), TaskIndex(to)) in graph.edges() {
        let (from, to) = (from as usize, to as usize);
        let mut chain = vec![from];
        for between in rank[from] + 1..rank[to] {
            chain.push(points.len());
            points.push(Point {
                rank: between,
                width: 8.0,
                above: Vec::new(),
                below: Vec::new(),
            });
        }
        chain.push(to);
        for pair in chain.windows(2) {
            points[pair[0]].below.push(pair[1]);
            points[pair[1]].above.push(pair[0]);
        }
        chains.push(chain);
        if points.len() + chains.len() > POINTS_MAX {
            return None;
        }
    }
    Some((points, chains))
}

/// Sorts each row by the mean place of its neighbours, down and up in turn.
fn reduce_crossings(points: &[Point], rows: &mut [Vec<usize>]) {
    let mut place = vec![0.0; points.len()];
    let number = |row: &[usize], place: &mut Vec<f64>| {
        for (order, &at) in row.iter().enumerate() {
            place[at] = order as f64;
        }
    };
    for row in rows.iter() {
        number(row, &mut place);
    }
    let n_rows = rows.len();
    for sweep in 0..SWEEPS {
        for step in 1..n_rows {
            let down = sweep % 2 == 0;
            let row = &mut rows[if down { step } else { n_rows - 1 - step }];
            let key = |at: &usize| {
                let near = if down {
                    &points[*at].above
                } else {
                    &points[*at].below
                };
                mean(near, &place).unwrap_or(place[*at])
            };
            row.sort_by(|a, b| key(a).total_cmp(&key(b)));
            number(row, &mut place);
        }
    }
}

fn mean(points: &[usize], place: &[f64]) -> Option<f64> {
    let sum: f64 = points.iter().map(|&at| place[at]).sum();
    (!points.is_empty()).then(|| sum / points.len() as f64)
}

/// Centres: each row as near to its neighbours as the boxes' widths allow, order kept.
fn place(points: &[Point], rows: &[Vec<usize>]) -> Vec<f64> {
    let mut center = vec![0.0; points.len()];
    for row in rows {
        let mut x = 0.0;
        for &at in row {
            center[at] = x + points[at].width / 2.0;
            x += points[at].width + GAP;
        }
        for &at in row {
            center[at] -= x / 2.0;
        }
    }
    for sweep in 0..SWEEPS {
        for step in 0..rows.len() {
            let down = sweep % 2 == 0;
            let row = &rows[if down { step } else { rows.len() - 1 - step }];
            let wish: Vec<f64> = row
                .iter()
                .map(|&at| {
                    let near = if down {
                        &points[at].above
                    } else {
                        &points[at].below
                    };
                    mean(near, &center).unwrap_or(center[at])
                })
                .collect();
            settle(points, row, &wish, &mut center);
        }
    }
    center
}

/// The places nearest to the wishes (least squares) that keep order and distance: with the
/// distances taken out this is isotonic regression, solved by pooling neighbours that disagree.
fn settle(points: &[Point], row: &[usize], wish: &[f64], center: &mut [f64]) {
    let mut shift = Vec::with_capacity(row.len());
    let mut pools: Vec<(f64, usize)> = Vec::new(); // (sum, count)
    let mut offset = 0.0;
    for (order, &at) in row.iter().enumerate() {
        if order > 0 {
            offset += (points[row[order - 1]].width + points[at].width) / 2.0 + GAP;
        }
        shift.push(offset);
        let mut pool = (wish[order] - offset, 1);
        while let Some(&(sum, count)) = pools.last() {
            if sum / count as f64 <= pool.0 / pool.1 as f64 {
                break;
            }
            pool = (pool.0 + sum, pool.1 + count);
            pools.pop();
        }
        pools.push(pool);
    }
    let mut order = 0;
    for (sum, count) in pools {
        for _ in 0..count {
            center[row[order]] = sum / count as f64 + shift[order];
            order += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A small generator, so that the graphs are the same on every machine.
    fn random_graph(seed: u64, n: u32) -> Graph {
        let mut state = seed;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let edges = (0..n * 2).map(|_| (next() % n, next() % n));
        Graph::new(n as usize, edges.filter(|(from, to)| from < to).collect()).unwrap()
    }

    #[test]
    fn no_two_boxes_overlap_and_every_edge_goes_down() {
        for seed in 0..40 {
            let graph = random_graph(seed, 2 + (seed as u32 * 7) % 60);
            let widths: Vec<f64> = (0..graph.len())
                .map(|at| 60.0 + (at % 7) as f64 * 20.0)
                .collect();
            let drawing = draw(&graph, &widths).unwrap();
            for (i, a) in drawing.boxes.iter().enumerate() {
                assert!(a.0 >= 0.0 && a.0 + a.2 <= drawing.width && a.1 + BOX <= drawing.height);
                for b in &drawing.boxes[i + 1..] {
                    let apart =
                        a.0 + a.2 < b.0 || b.0 + b.2 < a.0 || a.1 + BOX < b.1 || b.1 + BOX < a.1;
                    assert!(apart, "seed {seed}: {a:?} {b:?}");
                }
            }
            for edge in &drawing.edges {
                assert!(
                    edge.windows(2).all(|pair| pair[0].1 < pair[1].1),
                    "seed {seed}: {edge:?}"
                );
            }
        }
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let graph = Graph::new(4, vec![(0, 1), (1, 2), (2, 3)]).unwrap();
        let drawing = draw(&graph, &[80.0; 4]).unwrap();
        assert!(drawing.boxes.iter().all(|a| a.0 == drawing.boxes[0].0));
    }

    #[test]
    fn a_graph_that_is_too_large_is_not_drawn() {
        let graph = Graph::new(NODES_MAX + 1, Vec::new()).unwrap();
        assert!(draw(&graph, &vec![80.0; NODES_MAX + 1]).is_none());
    }

    #[test]
    fn no_tasks_make_an_empty_drawing() {
        assert!(
            draw(&Graph::new(0, Vec::new()).unwrap(), &[])
                .unwrap()
                .boxes
                .is_empty()
        );
    }
}
