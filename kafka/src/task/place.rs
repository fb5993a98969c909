//! Where a task begins to read, and where it ends: decided once, in offsets.

use super::TaskError;
use crate::client::{Login, Quiet, cannot_make};
use crate::source::start::{Topics, ids, offset_at, watermarks};
use rdkafka::consumer::BaseConsumer;
use tidemill_model::Ts;
use tidemill_model::trigger::Isolation;
use tidemill_store::{NamedOffset, Partition, Span};

/// An end of what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Where an earlier reading ended; the oldest record where there was none.
    Last(Vec<(Partition, i64)>),
    /// The oldest record that is there.
    Earliest,
    /// After the newest record that is there.
    Latest,
    /// The first record that is not older.
    At(Ts),
    /// These offsets by partition; the partitions that are not named are left out.
    Offsets(Vec<NamedOffset>),
    /// The same, or the oldest record that is there where they are gone.
    NotBefore(Vec<NamedOffset>),
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct SpanWish {
    /// The topics.
    pub topics: Vec<String>,
    /// Where it begins.
    pub from: Edge,
    /// Where it ends.
    pub to: Edge,
    /// So many offsets at most, over all partitions.
    pub n_max: i64,
    /// Which records of transactions count.
    pub isolation: Isolation,
}

/// A reader that is asked and reads nothing yet.
pub(super) fn reader(
    login: &Login,
    isolation: Isolation,
) -> Result<BaseConsumer<Quiet>, TaskError> {
    let made = login.reader("tidemill.task", isolation, &[]);
    let made = made.create_with_context(Quiet);
    made.map_err(|err| TaskError::ForGood(cannot_make(&err)))
}

/// The partitions of topics, with the ids of the topics.
pub(super) fn all_partitions(
    client: &BaseConsumer<Quiet>,
    topics: &[String],
) -> Result<Vec<Partition>, TaskError> {
    let found = Topics::ask(client, topics, None, |topics| ids(client, topics)).map_err(brokers)?;
    match found.missing.is_empty() {
        true => Ok(found.partitions),
        false => Err(TaskError::Brokers(found.missing.join("; "))),
    }
}

pub(super) fn brokers(why: impl std::fmt::Display) -> TaskError {
    TaskError::Brokers(why.to_string())
}

/// Turns a wish into offsets. What is there is asked for now, so this is done once.
///
/// # Errors
/// When the brokers do not answer, or hold no longer what is to be read.
pub fn fix(login: &Login, wish: &SpanWish) -> Result<Vec<Span>, TaskError> {
    let client = reader(login, wish.isolation)?;
    let mut spans = Vec::new();
    for partition in all_partitions(&client, &wish.topics)? {
        let marks = watermarks(&client, &partition).map_err(brokers)?;
        let first = edge(&client, &partition, &wish.from, marks)?;
        let end = edge(&client, &partition, &wish.to, marks)?;
        let (Some(first), Some(end)) = (first, end) else {
            continue;
        };
        let (low, high) = marks;
        if first < low && first < end {
            return Err(TaskError::ForGood(format!(
                "{}/{}: records {first} to {} are gone: the oldest that is kept is {low}. Give `from` an offset to go on",
                partition.topic,
                partition.partition,
                low.min(end) - 1,
            )));
        }
        let first = first.min(high);
        spans.push(Span {
            partition,
            first,
            end: Some(end.clamp(first, high)),
        });
    }
    cap(&mut spans, wish.n_max);
    Ok(spans)
}

/// Where waiting begins, in each partition of the topics.
///
/// # Errors
/// When the brokers do not answer.
pub fn starts(
    login: &Login,
    topics: &[String],
    from: &Edge,
    isolation: Isolation,
) -> Result<Vec<Span>, TaskError> {
    let client = reader(login, isolation)?;
    let mut spans = Vec::new();
    for partition in all_partitions(&client, topics)? {
        let marks = watermarks(&client, &partition).map_err(brokers)?;
        let first = edge(&client, &partition, from, marks)?.unwrap_or(marks.1);
        spans.push(Span {
            partition,
            first: first.clamp(marks.0, marks.1),
            end: None,
        });
    }
    Ok(spans)
}

fn edge(
    client: &BaseConsumer<Quiet>,
    partition: &Partition,
    edge: &Edge,
    (low, high): (i64, i64),
) -> Result<Option<i64>, TaskError> {
    Ok(match edge {
        Edge::Earliest => Some(low),
        Edge::Latest => Some(high),
        Edge::At(at) => Some(offset_at(client, partition, *at, high).map_err(brokers)?),
        Edge::Offsets(named) => NamedOffset::of(partition, named),
        Edge::NotBefore(named) => NamedOffset::of(partition, named).map(|at| at.max(low)),
        Edge::Last(known) => {
            let mut known = known.iter();
            let mine = known.find(|(one, _)| is_same(one, partition));
            Some(mine.map_or(low, |(_, offset)| *offset))
        }
    })
}

/// Is it the same partition of the same topic? A topic whose id is not told is taken for itself.
pub(crate) fn is_same(one: &Partition, other: &Partition) -> bool {
    one.topic == other.topic
        && one.partition == other.partition
        && (one.incarnation == other.incarnation
            || one.incarnation.is_empty()
            || other.incarnation.is_empty())
}

/// Cuts spans to so many offsets together: each gets an equal share, and what one leaves goes to
/// those behind it.
fn cap(spans: &mut [Span], n_max: i64) {
    let length = |span: &Span| span.end.unwrap_or(span.first) - span.first;
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| length(&spans[*at]));
    let (mut left, mut n_spans) = (n_max.max(0), spans.len() as i64);
    for at in order {
        let share = left / n_spans.max(1);
        let taken = length(&spans[at]).min(share);
        spans[at].end = Some(spans[at].first + taken);
        left -= taken;
        n_spans -= 1;
    }
}

/// Is what a span names still there as it was?
pub(super) fn check(client: &BaseConsumer<Quiet>, spans: &[Span]) -> Result<(), TaskError> {
    let mut topics: Vec<&str> = spans
        .iter()
        .map(|span| span.partition.topic.as_str())
        .collect();
    topics.dedup();
    let ids = ids(client, &topics).unwrap_or_default();
    for span in spans {
        let known = &span.partition.incarnation;
        let now = ids.get(&span.partition.topic);
        if let Some(now) = now.filter(|now| !known.is_empty() && *now != known) {
            return Err(TaskError::ForGood(format!(
                "topic `{}` was made anew since its range was fixed (its id was {known} and is {now})",
                span.partition.topic
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, end: i64) -> Span {
        Span {
            partition: Partition {
                topic: "t".to_string(),
                incarnation: String::new(),
                partition: 0,
            },
            first,
            end: Some(end),
        }
    }

    #[test]
    fn an_offset_is_that_which_says_most_closely_where_it_is_meant() {
        let named = |topic: Option<&str>, partition, offset| NamedOffset {
            topic: topic.map(str::to_string),
            partition,
            offset,
        };
        let all = [
            named(None, NamedOffset::ALL_OTHERS, 1),
            named(Some("a"), 0, 2),
            named(None, 0, 3),
            named(None, 1, 4),
        ];
        let of = |topic: &str, partition| {
            let partition = Partition {
                topic: topic.to_string(),
                incarnation: "i".to_string(),
                partition,
            };
            NamedOffset::of(&partition, &all)
        };
        let found = [of("a", 0), of("b", 0), of("a", 1), of("b", 7)];
        assert_eq!(found, [Some(2), Some(3), Some(4), Some(1)]);
        let other = span(0, 1).partition;
        assert_eq!(NamedOffset::of(&other, &all[1..2]), None);
    }

    #[test]
    fn a_limit_is_shared_by_the_partitions() {
        let cut = |lengths: &[i64], n_max| {
            let mut spans: Vec<Span> = lengths.iter().map(|n| span(5, 5 + n)).collect();
            cap(&mut spans, n_max);
            let lengths = spans.iter().map(|span| span.end.unwrap_or(0) - span.first);
            lengths.collect::<Vec<_>>()
        };
        assert_eq!(cut(&[10, 10], 100), [10, 10]);
        assert_eq!(cut(&[10, 10], 10), [5, 5]);
        assert_eq!(cut(&[100, 2, 0], 10), [8, 2, 0]);
        assert_eq!(cut(&[3, 3, 3], 1), [0, 0, 1]);
        assert_eq!(cut(&[3], 0), [0]);
    }
}
