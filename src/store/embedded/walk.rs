//! Every readable entry, also of a damaged file.

use std::{
    collections::VecDeque,
    ops::{
        Bound::{self, Excluded, Included, Unbounded},
        ControlFlow,
    },
};

use super::file::Table;

/// Maximum places that are tried between two readable parts. A file with more damage loses more entries than
/// necessary.
const PROBES: usize = 4096;

type Visit<'a> = dyn FnMut(&str, &[u8]) -> ControlFlow<()> + 'a;

/// The end of a walk in one direction.
enum Ended {
    /// At the bound.
    AtBound,
    /// At an unreadable page, after the last readable key.
    Behind(Option<String>),
    ByVisitor,
}

/// Visits the entries in the order of their keys up to the first unreadable page, then backwards from the end to the
/// last such page, then the readable parts between, by bisection of the keys.
pub(super) fn readable(table: &Table, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let low = match run(table, Unbounded, Unbounded, false, visit) {
        Ended::AtBound => return ControlFlow::Continue(()),
        Ended::ByVisitor => return ControlFlow::Break(()),
        Ended::Behind(last) => last.unwrap_or_default(),
    };
    let high = match run(table, Excluded(&low), Unbounded, true, visit) {
        Ended::AtBound => return ControlFlow::Continue(()),
        Ended::ByVisitor => return ControlFlow::Break(()),
        // Greater than all keys of this service, which are ASCII.
        Ended::Behind(first) => first.unwrap_or_else(|| "\u{7f}".to_owned()),
    };
    let mut gaps = VecDeque::from([(low, high)]);
    for _ in 0..PROBES {
        let Some((low, high)) = gaps.pop_front() else { break };
        let Some(middle) = between(&low, &high) else { continue };
        match run(table, Included(&middle), Excluded(&high), false, visit) {
            Ended::AtBound => {}
            Ended::ByVisitor => return ControlFlow::Break(()),
            Ended::Behind(last) => gaps.push_back((last.unwrap_or_else(|| middle.clone()), high)),
        }
        match run(table, Excluded(&low), Excluded(&middle), true, visit) {
            Ended::AtBound => {}
            Ended::ByVisitor => return ControlFlow::Break(()),
            Ended::Behind(first) => gaps.push_back((low, first.unwrap_or(middle))),
        }
    }
    ControlFlow::Continue(())
}

fn run(
    table: &Table,
    from: Bound<&String>,
    to: Bound<&String>,
    backwards: bool,
    visit: &mut Visit<'_>,
) -> Ended {
    let bounds = (from.map(String::as_str), to.map(String::as_str));
    let mut last = None;
    let Ok(mut entries) = table.range::<&str>(bounds) else { return Ended::Behind(last) };
    loop {
        let entry = if backwards { entries.next_back() } else { entries.next() };
        match entry {
            None => return Ended::AtBound,
            Some(Err(_)) => return Ended::Behind(last),
            Some(Ok((key, value))) => {
                if visit(key.value(), value.value()).is_break() {
                    return Ended::ByVisitor;
                }
                last = Some(key.value().to_owned());
            }
        }
    }
}

/// An ASCII text halfway between two others, as if they were fractions to the base 128. `None` if there is not a
/// short enough one.
fn between(low: &str, high: &str) -> Option<String> {
    let digits = low.len().max(high.len()) + 2;
    let digit = |text: &str, at: usize| u32::from(text.as_bytes().get(at).copied().unwrap_or(0).min(127));
    let mut sum = vec![0; digits];
    let mut carry = 0;
    for (at, place) in sum.iter_mut().enumerate().rev() {
        let both = digit(low, at) + digit(high, at) + carry;
        (*place, carry) = (both % 128, both / 128);
    }
    let mut text = String::with_capacity(digits);
    for place in sum {
        let value = carry * 128 + place;
        text.push(char::from(u8::try_from(value / 2).ok()?));
        carry = value % 2;
    }
    text.truncate(text.trim_end_matches('\0').len());
    // The keys have up to 22 characters.
    (text.len() < 32 && text.as_str() > low && text.as_str() < high).then_some(text)
}
