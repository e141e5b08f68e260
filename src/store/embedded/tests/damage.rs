//! Files that are damaged, replaced or half made, and disks that fail. Rows 47, 49, 50 and 51.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::*;
use crate::store::{Stored, embedded::create::Kind};

const CLIENTS: u32 = 300;
const EIO: i32 = 5;

/// A file with the interests of all clients.
fn filled(path: &Path) {
    let entries: Vec<_> = (0..CLIENTS).map(|id| (format!("i:{id}"), value(id))).collect();
    EmbeddedFile::open(path).unwrap().put_all(&entries, &|| {}).unwrap();
}

fn value(id: u32) -> Vec<u8> {
    format!("[\"of client {id}\", \"{}\"]", "x".repeat(id as usize % 700)).into_bytes()
}

fn in_a_folder() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("scoring.redb");
    (folder, path)
}

/// Why the connection ended.
async fn closed(connection: &Arc<dyn Connection>) -> BackendError {
    tokio::time::timeout(Duration::from_secs(60), connection.closed()).await.expect("the connection ends")
}

/// Each answer is right or an error; returns how many are errors.
fn judge(file: &EmbeddedFile) -> usize {
    let mut errors = 0;
    for id in 0..CLIENTS + 20 {
        let expected = (id < CLIENTS).then(|| value(id));
        match file.get_many(&[format!("i:{id}")]) {
            Ok(found) => assert_eq!(found, [expected], "client {id}"),
            Err(BackendError::Damaged(_) | BackendError::Storage(_)) => errors += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    errors
}

/// An export is complete, or an error that says how many values are missing.
fn judge_export(file: &EmbeddedFile) {
    let mut visited = 0;
    let outcome = file.for_each("i:", &mut |key, stored| {
        let id = key[2..].parse().unwrap();
        assert_eq!(stored, Stored::Value(value(id)));
        visited += 1;
        ControlFlow::Continue(())
    });
    match outcome {
        Ok(()) => assert_eq!(visited, CLIENTS),
        // redb reads no more after an error of the system.
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("damaged") || text.contains("an earlier read or write failed"), "{text}");
        }
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Flips(Vec<(f64, u8)>),
    Cut(f64),
    Zeros(f64, usize),
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => proptest::collection::vec((0.0..1.0, 0u8..8), 1..50).prop_map(Damage::Flips),
        1 => (0.0..1.0).prop_map(Damage::Cut),
        1 => ((0.0..1.0), 1usize..20_000).prop_map(|(at, length)| Damage::Zeros(at, length)),
    ]
}

/// Does the damage in place, as a disk does it under an open file.
fn damage(path: &Path, damage: &Damage) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = |share: f64| (length as f64 * share) as u64;
    match damage {
        Damage::Flips(flips) => {
            for &(share, bit) in flips {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at(share)).unwrap();
                byte[0] ^= 1 << bit;
                file.write_all_at(&byte, at(share)).unwrap();
            }
        }
        Damage::Cut(share) => file.set_len(at(*share)).unwrap(),
        Damage::Zeros(share, zeros) => {
            let zeros = (*zeros as u64).min(length - at(*share));
            file.write_all_at(&vec![0; zeros as usize], at(*share)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn row_49_damage_before_the_open_never_changes_an_answer(how in damages()) {
        let (_folder, path) = in_a_folder();
        filled(&path);
        damage(&path, &how);
        if let Ok(file) = EmbeddedFile::open_to_read(&path) {
            judge(&file);
            judge_export(&file);
        }
        // An import opens it for writing. It may be refused.
        if let Ok(file) = EmbeddedFile::open(&path) {
            judge(&file);
        }
    }

    #[test]
    fn row_49_damage_while_the_file_is_open_never_changes_an_answer(how in damages(), asked_before: bool) {
        let (_folder, path) = in_a_folder();
        filled(&path);
        let file = EmbeddedFile::open_to_read(&path).unwrap();
        if asked_before {
            prop_assert_eq!(judge(&file), 0);
        }
        damage(&path, &how);
        judge(&file);
        judge_export(&file);
    }
}

#[test]
fn row_49_a_file_of_zeros_after_its_header_serves_nothing() {
    let (_folder, path) = in_a_folder();
    filled(&path);
    let length = path.metadata().unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0; length as usize - 8192], 8192).unwrap();
    let errors = EmbeddedFile::open_to_read(&path).map_or(CLIENTS as usize + 20, |file| judge(&file));
    assert_eq!(errors, CLIENTS as usize + 20);
}

#[test]
fn one_damaged_copy_of_the_header_costs_nothing() {
    for at in [100, 4096 + 100] {
        let (_folder, path) = in_a_folder();
        filled(&path);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xA5; 64], at).unwrap();
        assert_eq!(judge(&EmbeddedFile::open_to_read(&path).unwrap()), 0, "at {at}");
        assert_eq!(judge(&EmbeddedFile::open(&path).unwrap()), 0, "at {at}");
    }
}

// ===== disks that fail =====

/// The system's disk, until it is told to fail.
#[derive(Debug, Clone, Default)]
struct FailingDisk {
    errno: Arc<AtomicI32>,
}

impl Disk for FailingDisk {
    fn read_exact_at(&self, file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
        match self.errno.load(Relaxed) {
            0 => SystemDisk.read_exact_at(file, out, at),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn write_all_at(&self, file: &File, data: &[u8], at: u64) -> io::Result<()> {
        match self.errno.load(Relaxed) {
            0 => SystemDisk.write_all_at(file, data, at),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        SystemDisk.run(work)
    }

    /// The file is not watched: the watch could meet the error before the reads do.
    fn start(&self, _: &str, _: Box<dyn FnMut() -> Option<Duration> + Send>) -> io::Result<()> {
        Ok(())
    }
}

/// redb answers nothing after an error of the system until the file is opened again.
#[tokio::test]
async fn row_47_a_system_error_closes_the_file_for_a_reopen() {
    let (_folder, path) = in_a_folder();
    filled(&path);
    let disk = FailingDisk::default();
    let connector = EmbeddedConnector::new(path, 10).on(Arc::new(disk.clone()));
    let connection = connector.connect().await.unwrap();
    disk.errno.store(EIO, Relaxed);
    // Pages that are in memory are served on.
    let mut failed = None;
    for id in 0..CLIENTS {
        failed = failed.or(connection.get_many(Arc::from([format!("i:{id}")])).await.err());
    }
    let error = failed.unwrap();
    assert!(error.to_string().contains("Input/output error"), "{error}");
    assert_eq!(error.remedy(), Remedy::Reconnect);
    let closed = closed(&connection).await;
    assert!(closed.to_string().contains("scoring.redb: Input/output error"), "{closed}");

    disk.errno.store(0, Relaxed);
    let connection = connector.connect().await.unwrap();
    let found = connection.get_many(Arc::from(["i:7".to_owned()])).await.unwrap();
    assert_eq!(found, [Some(value(7))]);
}

// ===== files that come, go and are half made =====

fn other(path: &Path) {
    EmbeddedFile::open(path).unwrap().put_all(&entries(&[("i:7", "other")]), &|| {}).unwrap();
}

#[tokio::test]
async fn row_50_a_replaced_file_is_given_up_for_the_one_at_the_path() {
    let (folder, path) = in_a_folder();
    filled(&path);
    let connector = EmbeddedConnector::new(path.clone(), 10);
    let connection = connector.connect().await.unwrap();
    other(&folder.path().join("other"));
    fs::rename(folder.path().join("other"), &path).unwrap();
    assert!(closed(&connection).await.to_string().contains("the file was replaced"));
    let connection = connector.connect().await.unwrap();
    let found = connection.get_many(Arc::from(["i:7".to_owned()])).await.unwrap();
    assert_eq!(found, [Some(b"other".to_vec())]);
}

#[tokio::test]
async fn row_50_a_file_that_is_gone_is_not_made_anew() {
    let (folder, path) = in_a_folder();
    filled(&path);
    let connector = EmbeddedConnector::new(path.clone(), 10);
    let connection = connector.connect().await.unwrap();
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    assert!(closed(&connection).await.to_string().contains("the file is gone"));
    let error = connector.connect().await.err().unwrap();
    assert!(error.to_string().contains("the file is gone"), "{error}");
    assert!(!path.exists());
    fs::rename(folder.path().join("elsewhere"), &path).unwrap();
    let connection = connector.connect().await.unwrap();
    assert_eq!(connection.get_many(Arc::from(["i:7".to_owned()])).await.unwrap(), [Some(value(7))]);
}

/// A file that could never be read is not replaced by an empty one either.
#[tokio::test]
async fn row_50_a_file_that_was_only_seen_is_not_made_anew() {
    let (folder, path) = in_a_folder();
    filled(&path);
    let disk = FailingDisk::default();
    disk.errno.store(EIO, Relaxed);
    let connector = EmbeddedConnector::new(path.clone(), 10).on(Arc::new(disk.clone()));
    assert!(connector.connect().await.is_err());
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    disk.errno.store(0, Relaxed);
    let error = connector.connect().await.err().unwrap();
    assert!(error.to_string().contains("the file is gone"), "{error}");
    assert!(!path.exists());
}

/// A file of zeros, which an older version left when it was killed while it made the file; one without any bytes; and what a
/// killed process leaves now.
#[rstest]
#[case::zeros(72 << 10)]
#[case::empty(0)]
#[tokio::test]
async fn row_51_a_file_that_was_never_made_is_made(#[case] length: u64) {
    let (_folder, path) = in_a_folder();
    File::create(&path).unwrap().set_len(length).unwrap();
    EmbeddedFile::open(&path).unwrap().put_all(&entries(&[("i:1", "a")]), &|| {}).unwrap();
    assert_eq!(get(&EmbeddedFile::open_to_read(&path).unwrap(), &["i:1"]), [Some("a".into())]);
}

#[test]
fn row_51_files_that_were_left_half_made_are_removed() {
    let (folder, path) = in_a_folder();
    let leftover = folder.path().join(".scoring.redb.0123456789abcdef.new");
    fs::write(&leftover, "half").unwrap();
    EmbeddedFile::open(&path).unwrap();
    assert!(!leftover.exists() && path.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_of_zeros_of_another_length_is_damaged() {
    let (_folder, path) = in_a_folder();
    File::create(&path).unwrap().set_len(200_000).unwrap();
    assert!(EmbeddedFile::open(&path).is_err());
    assert_eq!(Kind::of(&File::open(&path).unwrap()).unwrap(), Kind::Foreign);
}

#[test]
fn an_older_file_is_read_and_taken_over_at_the_first_write() {
    let (_folder, path) = in_a_folder();
    {
        let older = redb::Database::create(&path).unwrap();
        let transaction = older.begin_write().unwrap();
        transaction.open_table(file::PERSISTENT).unwrap().insert("i:1", b"old".as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(get(&EmbeddedFile::open_to_read(&path).unwrap(), &["i:1"]), [Some("old".into())]);
    assert_eq!(Kind::of(&File::open(&path).unwrap()).unwrap(), Kind::Older);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let file = EmbeddedFile::open(&path).unwrap();
    file.put_all(&entries(&[("i:2", "new")]), &|| {}).unwrap();
    assert_eq!(get(&file, &["i:1", "i:2"]), [Some("old".into()), Some("new".into())]);
    assert_eq!(Kind::of(&File::open(&path).unwrap()).unwrap(), Kind::Ours);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}
