//! All clients of one file, and all its faults: collected before anything is written.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, BufRead},
    path::Path,
};

use clap::ValueEnum;

use super::{
    csv::{self, HEADER},
    ndjson,
};
use crate::{
    cli::{line_fault::LineFault, lines::Lines},
    domain::{ClientId, Interests},
};

/// Bad lines that are printed one by one. More of them are probably the same mistake.
pub(super) const SHOWN: usize = 20;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// {"id": 1, "interests": ["books", "hi-tech"]} on each line
    Ndjson,
    /// the header id,interests, then a row for each interest
    Csv,
}

/// The contents of a file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    clients: BTreeMap<ClientId, Client>,
    /// The first [`SHOWN`] bad lines.
    pub(super) faults: Vec<(usize, LineFault)>,
    /// The number of bad lines.
    pub(super) bad_lines: usize,
    /// The header is missing, so the format is probably wrong, and no line can be trusted.
    pub(super) headless: bool,
}

#[derive(Debug)]
struct Client {
    line: usize,
    interests: Interests,
}

// ===== impl Format =====

impl Format {
    /// By the extension of a file's name, in any case.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

// ===== impl Batch =====

impl Batch {
    /// Reads the whole `input`. Only a failed read is an error; faults in the lines are collected.
    pub(super) fn read(input: impl BufRead, format: Format) -> io::Result<Self> {
        let mut batch = Self::default();
        let mut lines = Lines::new(input);
        if format == Format::Csv {
            let (number, outcome) = match lines.next()? {
                Some((number, line)) => (number, line.map_err(LineFault::from).and_then(csv::header)),
                None => (1, Err(LineFault::Header(HEADER))),
            };
            if outcome.is_err() {
                batch.headless = true;
                batch.add_fault(number, LineFault::Header(HEADER));
                return Ok(batch);
            }
        }
        while let Some((number, line)) = lines.next()? {
            let outcome = line.map_err(LineFault::from).and_then(|line| match format {
                Format::Ndjson => batch.add(number, ndjson::parse(line)?),
                Format::Csv => {
                    batch.extend(number, csv::parse(line)?);
                    Ok(())
                }
            });
            if let Err(fault) = outcome {
                batch.add_fault(number, fault);
            }
        }
        Ok(batch)
    }

    /// The keys and values to store, in the order of the ids.
    pub(super) fn into_entries(self) -> Vec<(String, Vec<u8>)> {
        let entry = |(id, client): (ClientId, Client)| (id.key(), client.interests.to_json().into_bytes());
        self.clients.into_iter().map(entry).collect()
    }

    fn add(&mut self, line: usize, (id, interests): (ClientId, Interests)) -> Result<(), LineFault> {
        match self.clients.entry(id) {
            Entry::Vacant(place) => {
                place.insert(Client { line, interests });
                Ok(())
            }
            Entry::Occupied(first) => Err(LineFault::RepeatedId { id, line: first.get().line }),
        }
    }

    fn extend(&mut self, line: usize, (id, interest): (ClientId, Option<String>)) {
        let client =
            self.clients.entry(id).or_insert_with(|| Client { line, interests: Interests::default() });
        client.interests.0.extend(interest);
    }

    fn add_fault(&mut self, line: usize, fault: LineFault) {
        self.bad_lines += 1;
        if self.faults.len() < SHOWN {
            self.faults.push((line, fault));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn read(text: &str, format: Format) -> Batch {
        Batch::read(text.as_bytes(), format).unwrap()
    }

    fn shown(batch: Batch) -> Vec<String> {
        let show = |(key, value)| format!("{key}={}", String::from_utf8(value).unwrap());
        batch.into_entries().into_iter().map(show).collect()
    }

    #[test]
    fn ndjson_lines_become_entries() {
        let text = "{\"id\": 2, \"interests\": [\"b\"]}\r\n\n{\"id\": 1, \"interests\": []}";
        let batch = read(text, Format::Ndjson);
        assert_eq!(batch.bad_lines, 0);
        assert_eq!(shown(batch), ["i:1=[]", "i:2=[\"b\"]"]);
    }

    #[test]
    fn csv_rows_of_one_client_add_up_in_their_order() {
        let batch = read("id,interests\n1,b\n2,\n1,a\n1,b\n", Format::Csv);
        assert_eq!(batch.bad_lines, 0);
        assert_eq!(shown(batch), ["i:1=[\"b\",\"a\",\"b\"]", "i:2=[]"]);
    }

    #[test]
    fn an_id_given_twice_is_a_fault_and_the_first_one_stays() {
        let text = "{\"id\":1,\"interests\":[\"a\"]}\n\n{\"id\":1,\"interests\":[\"a\"]}";
        let batch = read(text, Format::Ndjson);
        let expected = LineFault::RepeatedId { id: ClientId(1), line: 1 };
        assert_eq!(batch.faults, [(3, expected)]);
        assert_eq!(shown(batch), ["i:1=[\"a\"]"]);
    }

    #[rstest]
    #[case::data_at_once("1,books\n2,cinema\n", 1)]
    #[case::after_blank_lines("\n\n1,books\n", 3)]
    #[case::nothing_at_all("", 1)]
    fn without_its_header_no_line_of_csv_counts(#[case] text: &str, #[case] line: usize) {
        let batch = read(text, Format::Csv);
        assert!(batch.headless);
        assert_eq!(batch.faults, [(line, LineFault::Header(HEADER))]);
        assert!(batch.into_entries().is_empty());
    }

    #[rstest]
    #[case::as_many_as_are_shown(SHOWN)]
    #[case::one_more(SHOWN + 1)]
    #[case::many_more(1_000)]
    fn faults_are_all_counted_and_the_first_are_kept(#[case] bad: usize) {
        let batch = read(&"x\n".repeat(bad), Format::Ndjson);
        assert_eq!(batch.bad_lines, bad);
        assert_eq!(batch.faults.len(), bad.min(SHOWN));
    }

    #[rstest]
    #[case::ndjson("a/x.ndjson", Some(Format::Ndjson))]
    #[case::jsonl("x.jsonl", Some(Format::Ndjson))]
    #[case::csv("x.CSV", Some(Format::Csv))]
    #[case::json("x.json", None)]
    #[case::none("csv", None)]
    fn the_ending_tells_the_format(#[case] file: &str, #[case] format: Option<Format>) {
        assert_eq!(Format::of(Path::new(file)), format);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, csv: bool) {
            let format = if csv { Format::Csv } else { Format::Ndjson };
            let batch = Batch::read(bytes.as_slice(), format).unwrap();
            prop_assert_eq!(batch.faults.len(), batch.bad_lines.min(SHOWN));
        }
    }
}
