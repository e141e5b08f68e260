//! The recorded counts of instructions: their file format, and their growth since then.

/// Growth above this share is reported.
pub const NOTABLE: f64 = 0.05;

/// A part's name, and its number of instructions.
pub type Count = (String, u64);

/// Reads the format of [`write()`]. Lines of another form are comments.
pub fn read(text: &str) -> Vec<Count> {
    let line = |line: &str| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Writes one line for each count.
pub fn write(counts: &[Count]) -> String {
    let lines: String = counts.iter().map(|(name, count)| format!("{count} {name}\n")).collect();
    format!(
        "# Instructions for each, by callgrind. Written by `cargo bench --bench micro -- instructions record`.\n{lines}"
    )
}

/// Growth of each count since it was recorded, as a share; `None` for a count without a record.
pub fn changes(recorded: &[Count], now: &[Count]) -> Vec<Option<f64>> {
    let change = |(name, now): &Count| {
        let (_, before) = recorded.iter().find(|(recorded, _)| recorded == name)?;
        Some(*now as f64 / *before as f64 - 1.0)
    };
    now.iter().map(change).collect()
}

/// A summary of the growth.
pub fn verdict(recorded: &[Count], now: &[Count]) -> String {
    let changes = changes(recorded, now);
    let grown = now.iter().zip(changes).filter_map(|((name, _), change)| {
        change.filter(|change| *change > NOTABLE).map(|change| format!("{name} by {:.1} %", change * 100.0))
    });
    let grown: Vec<_> = grown.collect();
    match grown.is_empty() {
        true => format!("nothing grew by more than {:.0} %", NOTABLE * 100.0),
        false => format!("GREW: {}", grown.join("; ")),
    }
}

#[cfg(test)]
mod tests;
