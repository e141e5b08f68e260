//! The counts of instructions that are kept: how they are written down, and what has grown since.

/// Growth beyond this is worth a word.
pub const NOTABLE: f64 = 0.05;

/// A part's name, and how many instructions it takes.
pub type Count = (String, u64);

/// Reads what [`write`] has written. Lines of another form are comments.
pub fn read(text: &str) -> Vec<Count> {
    let line = |line: &str| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// A line for each.
pub fn write(counts: &[Count]) -> String {
    let lines: String = counts.iter().map(|(name, count)| format!("{count} {name}\n")).collect();
    format!(
        "# Instructions for each, by callgrind. Written by `cargo bench --bench micro -- instructions record`.\n{lines}"
    )
}

/// How much each count has grown since it was recorded, as a share; none for what was not.
pub fn changes(recorded: &[Count], now: &[Count]) -> Vec<Option<f64>> {
    let change = |(name, now): &Count| {
        let (_, before) = recorded.iter().find(|(recorded, _)| recorded == name)?;
        Some(*now as f64 / *before as f64 - 1.0)
    };
    now.iter().map(change).collect()
}

/// What is to be said of it in the end.
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
