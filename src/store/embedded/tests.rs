use std::{cell::Cell, fs, ops::ControlFlow, path::Path};

use rstest::rstest;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::store::Bulk;

mod damage;

const HOUR: Duration = Duration::from_secs(3600);

fn entries(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect()
}

fn get(file: &EmbeddedFile, keys: &[&str]) -> Vec<Option<String>> {
    let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
    let values = file.get_many(&keys).unwrap().into_iter();
    values.map(|value| value.map(|value| String::from_utf8(value).unwrap())).collect()
}

fn visited(file: &EmbeddedFile, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    file.for_each(prefix, &mut |key, _| {
        keys.push(key.to_owned());
        ControlFlow::Continue(())
    })
    .unwrap();
    keys
}

fn fresh() -> (TempDir, EmbeddedFile) {
    let folder = tempdir().unwrap();
    let file = EmbeddedFile::open(&folder.path().join("scoring.redb")).unwrap();
    (folder, file)
}

#[test]
fn written_entries_remain_after_a_reopen() {
    let (folder, file) = fresh();
    let written = Cell::new(0);
    file.put_all(&entries(&[("i:1", "a"), ("i:2", "b")]), &|| {
        written.set(written.get() + 1);
    })
    .unwrap();
    assert_eq!(written.get(), 2);
    drop(file);
    let file = EmbeddedFile::open(&folder.path().join("scoring.redb")).unwrap();
    assert_eq!(get(&file, &["i:1", "i:2"]), [Some("a".into()), Some("b".into())]);
}

#[test]
fn values_come_in_the_order_of_the_keys_with_gaps_for_missing() {
    let (_folder, file) = fresh();
    assert_eq!(get(&file, &["i:1", "i:2"]), [None, None], "of an empty file");
    file.put_all(&entries(&[("i:1", "a"), ("i:2", "b")]), &|| {}).unwrap();
    assert_eq!(
        get(&file, &["i:2", "i:3", "i:1", "i:2"]),
        [Some("b".into()), None, Some("a".into()), Some("b".into())]
    );
    assert!(get(&file, &[]).is_empty());
}

/// An import that is broken off in the middle leaves what was there before.
#[test]
fn a_write_that_does_not_end_leaves_nothing_behind() {
    let (_folder, file) = fresh();
    file.put_all(&entries(&[("i:1", "old")]), &|| {}).unwrap();
    let written = Cell::new(0);
    let broken_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        file.put_all(&entries(&[("i:1", "new"), ("i:2", "new")]), &|| {
            written.set(written.get() + 1);
            assert!(written.get() < 2, "broken off");
        })
    }));
    assert!(broken_off.is_err());
    assert_eq!(get(&file, &["i:1", "i:2"]), [Some("old".into()), None]);
}

#[test]
fn entries_are_visited_by_prefix_in_the_order_of_their_keys() {
    let (_folder, file) = fresh();
    assert!(visited(&file, "").is_empty());
    file.put_all(&entries(&[("i:2", ""), ("h:1", ""), ("i:10", ""), ("j:1", "")]), &|| {}).unwrap();
    assert_eq!(visited(&file, "i:"), ["i:10", "i:2"]);
    assert_eq!(visited(&file, ""), ["h:1", "i:10", "i:2", "j:1"]);
    assert!(visited(&file, "k").is_empty());
}

#[test]
fn a_visitor_can_end_the_visit() {
    let (_folder, file) = fresh();
    file.put_all(&entries(&[("i:1", ""), ("i:2", "")]), &|| {}).unwrap();
    let mut visits = 0;
    file.for_each("i:", &mut |_, _| {
        visits += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(visits, 1);
}

#[test]
fn the_folder_of_the_file_is_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("made/on/the/way.redb");
    EmbeddedFile::open(&path).unwrap();
    assert!(path.is_file());
}

fn a_folder(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn a_device(path: &Path) {
    std::os::unix::fs::symlink("/dev/null", path).unwrap();
}

fn garbage(path: &Path) {
    fs::write(path, "not a database ".repeat(10_000)).unwrap();
}

/// Both copies of its header are damaged.
fn a_damaged_database(path: &Path) {
    drop(EmbeddedFile::open(path).unwrap());
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    bytes[9..length.min(8192)].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

fn a_database_cut_short(path: &Path) {
    drop(EmbeddedFile::open(path).unwrap());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
}

#[rstest]
fn a_file_that_is_not_a_database_is_an_error_not_a_panic(
    #[values(a_folder, a_device, garbage, a_damaged_database, a_database_cut_short)] make: fn(&Path),
) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("scoring.redb");
    make(&path);
    let error = EmbeddedFile::open(&path).unwrap_err();
    assert!(matches!(error, BackendError::Storage(_) | BackendError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("scoring.redb"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = EmbeddedFile::open(&folder.path().join("file/scoring.redb")).unwrap_err();
    assert!(matches!(error, BackendError::Storage(_)), "{error:?}");
}

/// Interests are imported by another process while the service runs.
#[test]
fn two_open_files_see_each_others_writes() {
    let (folder, service) = fresh();
    let import = EmbeddedFile::open(&folder.path().join("scoring.redb")).unwrap();
    import.put_all(&entries(&[("i:1", "a")]), &|| {}).unwrap();
    assert_eq!(get(&service, &["i:1"]), [Some("a".into())]);
    service.put_all(&entries(&[("i:2", "b")]), &|| {}).unwrap();
    assert_eq!(get(&import, &["i:1", "i:2"]), [Some("a".into()), Some("b".into())]);
}

// ===== as a store =====

#[tokio::test]
async fn all_connections_share_one_open_file_and_one_cache() {
    let folder = tempdir().unwrap();
    let connector = EmbeddedConnector::new(folder.path().join("scoring.redb"), 10);
    let (one, other) = (connector.connect().await.unwrap(), connector.connect().await.unwrap());
    one.set("uid:1".into(), b"3".to_vec(), HOUR).await.unwrap();
    assert_eq!(other.get("uid:1".into()).await.unwrap(), Some(b"3".to_vec()));
    let import = EmbeddedFile::open(&folder.path().join("scoring.redb")).unwrap();
    import.put_all(&entries(&[("i:1", "a")]), &|| {}).unwrap();
    for connection in [one, other] {
        let values = connection.get_many(Arc::from(["i:1".to_owned(), "i:2".to_owned()]));
        assert_eq!(values.await.unwrap(), [Some(b"a".to_vec()), None]);
    }
}

#[tokio::test]
async fn a_cached_value_expires_and_is_never_in_the_file() {
    let folder = tempdir().unwrap();
    let connector = EmbeddedConnector::new(folder.path().join("scoring.redb"), 10);
    let connection = connector.connect().await.unwrap();
    connection.set("uid:1".into(), b"3".to_vec(), Duration::ZERO).await.unwrap();
    connection.set("uid:2".into(), b"3".to_vec(), HOUR).await.unwrap();
    assert_eq!(connection.get("uid:1".into()).await.unwrap(), None);
    assert!(
        visited(&EmbeddedFile::open_to_read(&folder.path().join("scoring.redb")).unwrap(), "").is_empty()
    );
}

/// The service starts without its store, and uses it once it is there.
#[tokio::test]
async fn the_next_connect_retries_a_file_that_could_not_be_opened() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("scoring.redb");
    a_folder(&path);
    let connector = EmbeddedConnector::new(path.clone(), 10);
    let error = connector.connect().await.err().unwrap();
    assert_eq!(error.remedy(), Remedy::Reconnect);
    fs::remove_dir(path).unwrap();
    connector.connect().await.unwrap();
}
