//! Rows about the embedded store's file: 47, 49, 50, 51, 55.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use tempfile::TempDir;
use testkit::{
    Calls, EIO, ENOSPC, Shim,
    bench::client::{LAST_CLIENT, Seen, Target, interests_of},
    eventually,
};
use tokio::time::sleep;

use crate::{
    outage::Outage,
    row::Outcome,
    service::{Launch, Service},
};

/// A folder with a store's file that contains the interests of all clients.
struct Place {
    folder: TempDir,
}

impl Place {
    /// With a file.
    fn filled() -> Self {
        let place = Self::empty();
        place.import(&place.file(), "books");
        place
    }

    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.path("scoring.redb")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(path: &Path) -> String {
        format!("store.url=embedded:{}", path.display())
    }

    /// Imports the interests of all clients, with this as the first interest of each, into the store at `path`.
    fn import(&self, path: &Path, first: &str) {
        let ended = Launch::default().run(&self.import_arguments(path, first));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }

    fn import_arguments(&self, path: &Path, first: &str) -> Vec<String> {
        let lines: String = (1..=LAST_CLIENT)
            .map(|id| {
                let interests = interests_of(id).to_string().replacen("books", first, 1);
                format!("{{\"id\": {id}, \"interests\": {interests}}}\n")
            })
            .collect();
        let source = self.path("interests.ndjson");
        fs::write(&source, lines).unwrap();
        let source = source.display().to_string();
        ["interests", "import", &source, "--set", &Self::url(path)].map(str::to_owned).into()
    }

    fn export_arguments(path: &Path) -> Vec<String> {
        ["interests", "export", "--set", &Self::url(path)].map(str::to_owned).into()
    }

    async fn serve(&self, launch: Launch) -> Service {
        let service = launch.serve(&[&Self::url(&self.file())]).await;
        let ready = async || service.target.is_ready().await;
        eventually(Duration::from_secs(5), "the service is ready", ready).await;
        service
    }
}

/// Row 47: reads fail for 1.5 s.
pub fn reads_fail() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let place = Place::filled();
        let shim = Shim::new("scoring.redb", Calls::Read, EIO);
        let service = place.serve(Launch::with(shim.environment())).await;
        let outage = Outage::of(&service).await;
        sleep(Duration::from_secs(1)).await;
        shim.fail();
        outage.is_degraded(&["input/output error", "i/o error"], &mut out).await;
        sleep(Duration::from_millis(1_500)).await;
        shim.heal();
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 47: the disk is full while an import writes.
pub fn an_import_finds_the_disk_full() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let place = Place::filled();
        let service = place.serve(Launch::default()).await;
        let outage = Outage::of(&service).await;
        let shim = Shim::new("scoring.redb", Calls::Write, ENOSPC);
        shim.fail();
        let import = place.import_arguments(&place.file(), "books");
        let ended = tokio::task::block_in_place(|| Launch::with(shim.environment()).run(&import));
        out.must(ended.code == Some(1), format!("import ended with {:?}", ended.code));
        out.must(ended.err.contains("No space left"), format!("import said {:?}", ended.err));
        shim.heal();
        let ended = tokio::task::block_in_place(|| Launch::with(shim.environment()).run(&import));
        out.must(ended.code == Some(0), format!("a later import: {:?} {:?}", ended.code, ended.err));
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 49: `damaged` copies of a file, each with a few bits flipped, before it is opened or while it is open.
pub fn bits_are_flipped() -> LocalBoxFuture<'static, Outcome> {
    const COPIES: usize = 30;
    Box::pin(async {
        let mut out = Outcome::default();
        let original = Place::filled();
        let (mut right, mut broken, mut refused, mut told) = (0, 0, 0, 0);
        for copy in 0..COPIES {
            let place = Place::empty();
            fs::copy(original.file(), place.file()).unwrap();
            let is_open = copy % 2 == 1;
            let flips = [1, 5, 50][copy % 3];
            if !is_open {
                flip_bits(&place.file(), flips);
            }
            let service = Launch::default().serve(&[&Place::url(&place.file())]).await;
            sleep(Duration::from_millis(300)).await;
            if is_open {
                flip_bits(&place.file(), flips);
            }
            for id in 1..=LAST_CLIENT {
                match service.target.interests(&[id], Instant::now()).await.seen {
                    Seen::Right => right += 1,
                    Seen::Broken => broken += 1,
                    Seen::Refused => refused += 1,
                    seen @ (Seen::Lost(_) | Seen::Wrong(_)) => {
                        out.must(false, format!("client {id}: {seen:?}"));
                    }
                }
            }
            out.must(alive(&service.target).await, "the service is gone");
            out.must(!service.log().contains("\"panic\""), "the log has a panic");
            drop(service);
            let ended = Launch::default().run(&Place::export_arguments(&place.file()));
            let lines = ended.out.lines().count();
            let is_complete = ended.code == Some(0) && lines == LAST_CLIENT as usize;
            told += usize::from(ended.code == Some(1));
            out.must(
                is_complete || ended.code == Some(1),
                format!("export ended with {:?} after {lines} lines", ended.code),
            );
            out.must(!ended.err.contains("panicked"), format!("export said {:?}", ended.err));
        }
        out.note(format!(
            "{COPIES} damaged files: {right} answers right, {broken} are 500, {refused} are 503"
        ));
        out.note(format!("{told} exports exit 1, the others are complete"));
        out.must(broken + refused > 0, "no damage was met");
        out
    })
}

/// Row 50: the file is deleted, comes back, and is replaced by another.
pub fn the_file_is_replaced() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let place = Place::filled();
        let service = place.serve(Launch::default()).await;
        let outage = Outage::of(&service).await;
        fs::rename(place.file(), place.path("elsewhere")).unwrap();
        outage.is_degraded(&["gone", "no such file"], &mut out).await;
        sleep(Duration::from_secs(1)).await;
        out.must(!place.file().exists(), "an empty file was made in its place");
        fs::rename(place.path("elsewhere"), place.file()).unwrap();
        outage.recovers(&mut out).await;

        place.import(&place.path("other"), "films");
        fs::rename(place.path("other"), place.file()).unwrap();
        let replaced = Instant::now();
        let served = loop {
            let answer = service.target.interests(&[1], Instant::now()).await;
            // The checks of the load only know the old interests: an answer with the new ones is "wrong" for them.
            if matches!(&answer.seen, Seen::Wrong(text) if text.contains("films")) {
                break Some(replaced.elapsed());
            }
            if replaced.elapsed() > Duration::from_secs(5) {
                break None;
            }
            sleep(Duration::from_millis(10)).await;
        };
        match served {
            Some(took) => {
                out.note(format!("another file served after {}", crate::row::ms(took)));
                out.within("the other file", took, Duration::from_secs(1));
            }
            None => out.must(false, "the other file is not served"),
        }
        out
    })
}

/// Row 51: the disk is full at the first start.
pub fn first_start_on_a_full_disk() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let place = Place::empty();
        let shim = Shim::new("scoring.redb", Calls::Write, ENOSPC);
        shim.fail();
        let service = Launch::with(shim.environment()).serve(&[&Place::url(&place.file())]).await;
        let refused = service.target.interests(&[1_000], Instant::now()).await.seen;
        out.must(refused == Seen::Refused, format!("interests on a full disk: {refused:?}"));
        shim.heal();
        let healed = Instant::now();
        let ready = async || service.target.is_ready().await;
        eventually(Duration::from_secs(5), "the service is ready", ready).await;
        out.note(format!("usable after {}", crate::row::ms(healed.elapsed())));
        out.within("usable", healed.elapsed(), Duration::from_secs(1));
        out
    })
}

/// Row 51: the process is killed while it makes the file.
pub fn killed_while_the_file_is_made() -> LocalBoxFuture<'static, Outcome> {
    const TIMES: u64 = 60;
    Box::pin(async {
        let mut out = Outcome::default();
        let mut unfinished = 0;
        for time in 0..TIMES {
            let place = Place::empty();
            let import = place.import_arguments(&place.file(), "books");
            let mut child = Launch::default().spawn(&import);
            // Creation takes a few milliseconds after the process has started.
            sleep(Duration::from_micros(400 * time)).await;
            child.kill().unwrap();
            child.wait().unwrap();
            unfinished += usize::from(!place.file().exists());
            let ended = Launch::default().run(&import);
            out.must(ended.code == Some(0), format!("after a kill: {:?} {:?}", ended.code, ended.err));
            let left = fs::read_dir(place.folder.path()).unwrap().count();
            out.must(left == 2, format!("{left} files in the folder"));
        }
        out.note(format!(
            "{TIMES} kills, {unfinished} of them before the file was there; each later import works"
        ));
        out
    })
}

/// Row 55: the file system is read-only. Needs root, for a mount in a namespace of the process' own.
pub fn read_only_file_system() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        if !rustix::process::geteuid().is_root() {
            out.must(false, "needs root, to mount the folder read-only in a namespace of its own");
            return out;
        }
        let place = Place::filled();
        let folder = place.folder.path().display().to_string();
        let launch = Launch::read_only(&folder);
        let service = launch.serve(&[&Place::url(&place.file())]).await;
        eventually(Duration::from_secs(5), "the service is ready", async || service.target.is_ready().await)
            .await;
        let outage = Outage::of(&service).await;
        let readiness = service.target.admin("/readyz").await.map_or_else(|_| String::new(), |a| a.text());
        out.must(readiness.contains("read_only"), format!("readiness says {readiness}"));
        let import = place.import_arguments(&place.file(), "books");
        let ended = tokio::task::block_in_place(|| launch.run(&import));
        out.must(ended.code == Some(1), format!("import ended with {:?}", ended.code));
        out.must(ended.err.to_lowercase().contains("read-only"), format!("import said {:?}", ended.err));
        let ended = tokio::task::block_in_place(|| launch.run(&Place::export_arguments(&place.file())));
        let lines = ended.out.lines().count();
        out.must((ended.code, lines) == (Some(0), LAST_CLIENT as usize), format!("export: {:?}", ended.err));
        sleep(Duration::from_secs(2)).await;
        outage.ends(&mut out).await;
        out
    })
}

async fn alive(target: &Target) -> bool {
    target.admin("/healthz").await.is_ok_and(|answer| answer.code == 200)
}

/// Flips bits at random places of the file that are in use.
fn flip_bits(path: &Path, count: usize) {
    let bytes = fs::read(path).unwrap();
    let used: Vec<_> = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).collect();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    for _ in 0..count {
        let (at, byte) = used[fastrand::usize(..used.len())];
        file.write_all_at(&[byte ^ (1 << fastrand::u32(..8))], at as u64).unwrap();
    }
}
