//! Mutates the files of `tests/corpus` and feeds them to all code that reads external input: request bodies, stored
//! scores and interests, configuration files, partners' files, files of interests to import.
//!
//! Property tests create input from a grammar, so they reach deep and stay close to it. This test starts from real
//! files and breaks them: it flips, cuts, repeats and splices bytes, also those of other files. Nothing may panic,
//! and accepted input must keep its promises. The seed is fixed, so a failure can be repeated; `FUZZ_ROUNDS` makes
//! the test longer.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use chrono::NaiveDate;
use rstest::rstest;
use scoring_api::{
    config::{Settings, partners::PartnersFile},
    domain::{Card, ClientsInterests, Interests, Json, MethodRequest, OnlineScore, Rules, Score},
};
use testkit::alone;

/// Mutations of each file. All targets together take a few seconds.
const ROUNDS: usize = 1_500;

/// Bytes that often matter to a parser.
const TOKENS: &[&[u8]] = &[
    b"{", b"}", b"[", b"]", b"\"", b"\\", b"\\u0000", b"\\ud800", b":", b",", b"null", b"-", b"1e999",
    b"\xff", b"\0", b"\n", b"=", b"'''",
];

/// Runs `target`, which takes `cost` times as long as a parser, on every file of a corpus, as it is and mutated.
fn fuzz(corpus: &str, cost: usize, target: impl Fn(&[u8])) {
    alone();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Folders are listed in any order; a seed must mean the same everywhere.
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!files.is_empty());
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(42);
    for file in &files {
        target(file);
        for _ in 0..rounds.div_ceil(cost) {
            let mut input = file.clone();
            for _ in 0..random.usize(1..5) {
                mutate(&mut input, &files, &mut random);
            }
            target(&input);
        }
    }
}

fn mutate(input: &mut Vec<u8>, files: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = random.usize(0..=input.len());
    let end = (at + random.usize(0..16)).min(input.len());
    match random.u8(..7) {
        0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
        1 => input.truncate(at),
        2 => drop(input.drain(at..end)),
        3 => input.splice(at..at, random.choice(TOKENS).unwrap().iter().copied()).for_each(drop),
        4 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again).for_each(drop);
        }
        5 => {
            let other = random.choice(files).unwrap();
            let from = random.usize(0..=other.len());
            let to = (from + random.usize(0..64)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied()).for_each(drop);
        }
        _ => input.insert(at, random.u8(..)),
    }
}

#[test]
fn a_request_body_is_refused_or_keeps_the_contracts_promises() {
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    let rules = Rules { today, max_client_ids: 100, explain: true };
    fuzz("body", 1, |body| {
        let Ok(json) = Json::parse(body) else { return };
        let request = match MethodRequest::from_json(json) {
            Ok(request) => request,
            Err(faults) => return assert!(!faults.to_string().is_empty()),
        };
        assert!(!request.method.is_empty());
        let (outcome, present) = OnlineScore::parse_and_list(request.arguments.clone(), &rules);
        match outcome {
            Ok((person, _)) => {
                assert!((0.0..=5.0).contains(&Card::built_in().score(&person, today).value()));
                assert!(present.len() >= 2);
                assert_eq!(Card::built_in().cache_key(&person, today).len(), "uid:".len() + 32);
            }
            Err(faults) => assert!(faults.iter().count() > 0),
        }
        let nclients = ClientsInterests::nclients(&request.arguments);
        if let Ok(wanted) = ClientsInterests::parse(request.arguments, &rules) {
            assert!((1..=100).contains(&wanted.client_ids.len()));
            assert_eq!(nclients, Some(wanted.client_ids.len()));
            assert!((1..=wanted.client_ids.len()).contains(&wanted.unique_clients().len()));
        }
    });
}

#[test]
fn a_cached_score_is_a_miss_or_a_finite_number_from_0_on() {
    fuzz("score", 1, |stored| {
        if let Some(score) = Score::from_cached(stored) {
            assert!(score.value().is_finite() && score.value() >= 0.0, "{score:?}");
            assert_eq!(Score::from_cached(score.to_cached().as_bytes()), Some(score));
        }
    });
}

#[test]
fn stored_interests_are_malformed_or_a_list_of_strings() {
    fuzz("interests", 1, |stored| {
        if let Ok(interests) = Interests::from_json(stored) {
            assert_eq!(Interests::from_json(interests.to_json().as_bytes()).unwrap(), interests);
        }
    });
}

#[test]
fn a_configuration_file_is_rejected_by_line_or_loads_as_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (given, shown) = (folder.path().join("given.toml"), folder.path().join("shown.toml"));
    fuzz("config", 1, |file| {
        fs::write(&given, file).unwrap();
        match Settings::load(Some(&given), [], &[]) {
            Err(errors) => assert!(errors.to_string().lines().all(|line| !line.trim().is_empty())),
            Ok(settings) => {
                fs::write(&shown, settings.effective_toml()).unwrap();
                let again = Settings::load(Some(&shown), [], &[]).unwrap_or_else(|errors| panic!("{errors}"));
                assert_eq!(again.limits.max_in_flight, settings.limits.max_in_flight);
            }
        }
    });
}

#[test]
fn a_partners_file_is_rejected_by_line_or_read() {
    fuzz("partners", 1, |file| {
        let Ok(text) = std::str::from_utf8(file) else { return };
        match PartnersFile::parse(text, Path::new("p.toml"), "admin") {
            Err(errors) => {
                let errors = errors.to_string();
                assert!(errors.lines().all(|line| line.starts_with("p.toml:")), "{errors}");
                assert!(!errors.contains("1e2d3c4b5a69788796"), "a digest in {errors}");
            }
            Ok(read) => {
                assert!(!read.partners.is_empty());
                for partner in read.partners.iter() {
                    assert!((1..=2).contains(&partner.tokens().count()));
                    assert_ne!(partner.login(), "admin");
                }
            }
        }
    });
}

/// By the command line itself, because it contains the reader of these files: one process for each.
#[rstest]
#[case::ndjson("import_ndjson", "ndjson")]
#[case::csv("import_csv", "csv")]
fn a_file_to_import_is_refused_line_by_line_or_imported(#[case] corpus: &str, #[case] format: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given");
    fuzz(corpus, 30, |given| {
        fs::write(&file, given).unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_scoring-api"))
            .args(["--set", "store.url=embedded:x.redb", "interests", "import", "given", "--format", format])
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        match ended.status.code() {
            Some(0) => assert!(err.lines().any(|line| line.starts_with("imported ")), "{err}"),
            Some(1) => assert!(err.lines().any(|line| line.contains("line ")), "{err}"),
            other => panic!("{other:?}: {err}"),
        }
    });
}

/// Whatever the file is, it is a card whose scores lie in its range, or each fault is one line.
#[test]
fn a_card_is_checked_or_each_fault_is_one_line() {
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    let rules = Rules { today, max_client_ids: 1, explain: false };
    let people = [
        r#"{"phone": "79175002040", "email": "a@b"}"#,
        r#"{"first_name": "a", "last_name": "b"}"#,
        r#"{"gender": 2, "birthday": "01.01.2010", "phone": "70000000000"}"#,
    ]
    .map(|arguments| {
        let Ok(Json::Object(arguments)) = Json::parse(arguments.as_bytes()) else { panic!("{arguments}") };
        OnlineScore::parse(arguments, &rules).unwrap()
    });
    fuzz("card", 1, |file| {
        let Ok(text) = std::str::from_utf8(file) else { return };
        match Card::read(text) {
            Ok(card) => {
                let range = card.range();
                for person in &people {
                    let score = card.explain(person, today).score;
                    assert_eq!(card.score(person, today), score);
                    assert!((range.lowest.to_f64()..=range.highest.to_f64()).contains(&score.value()));
                    assert!(score.value() >= 0.0);
                }
            }
            Err(faults) => {
                assert!(faults.iter().count() > 0);
                for fault in faults.iter() {
                    assert!(!fault.problem.is_empty());
                    assert!(!fault.to_string().contains(['\n', '\u{1b}']), "{fault:?}");
                }
            }
        }
    });
}
