//! One open file for all connections, shared until there is a reason to give it up.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    EmbeddedFile, create,
    disk::Disk,
    fault::{of_system, storage},
    identity::{Identity, access_to},
};
use crate::{
    store::{Access, BackendError},
    units::millis,
};

/// The interval of checks of the path.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The open file, until it becomes unusable.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: EmbeddedFile,
    pub(super) access: Access,
    failure: Arc<Failure>,
}

/// The reason why a file is not usable any more, once there is one.
#[derive(Debug, Default)]
struct Failure {
    error: OnceLock<BackendError>,
    /// Wakes in the order of waiting.
    happened: Notify,
}

// ===== impl OpenFile =====

impl OpenFile {
    /// Opens the file at `path` for reading. If `may_make`, creates a missing file, and takes over a file of an older
    /// version if it can be written. Blocks.
    pub(super) fn open(
        path: &Path,
        may_make: bool,
        disk: Arc<dyn Disk>,
    ) -> Result<EmbeddedFile, BackendError> {
        if may_make || Identity::at(path).is_ok() {
            let prepared = create::prepare(path, &disk);
            // A file without write access is served as it is.
            let can_be_read = Identity::at(path).is_ok() && access_to(path) == Access::ReadOnly;
            if !can_be_read {
                prepared?;
            }
        }
        EmbeddedFile::open_to_read_from(path, disk)
    }

    /// Shares `file`, and starts to watch it.
    pub(super) fn share(
        file: EmbeddedFile,
        verify: bool,
        disk: &dyn Disk,
    ) -> Result<Arc<Self>, BackendError> {
        let access = access_to(file.path());
        let (path, identity) = (file.path().to_owned(), file.identity());
        let open = Arc::new(Self { file, access, failure: Arc::default() });
        let of_system = |error| of_system(open.file.path(), &error);
        let weak = Arc::downgrade(&open);
        let look = move || look_after(&path, identity, access, &weak);
        disk.start("store-file", Box::new(look)).map_err(of_system)?;
        if verify {
            let weak = Arc::downgrade(&open);
            let verify = move || {
                verify_all(&weak);
                None
            };
            disk.start("store-verify", Box::new(verify)).map_err(of_system)?;
        }
        Ok(open)
    }

    /// The file is not usable any more; only the first reason counts.
    pub(super) fn fail(&self, error: &BackendError) {
        if self.failure.error.set(error.clone()).is_ok() {
            self.failure.happened.notify_waiters();
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.error.get().is_some()
    }

    /// Resolves when the file is not usable any more.
    pub(super) fn failure(&self) -> impl Future<Output = BackendError> + Send + 'static {
        let failure = self.failure.clone();
        async move {
            loop {
                let happened = failure.happened.notified();
                match failure.error.get() {
                    Some(error) => return error.clone(),
                    None => happened.await,
                }
            }
        }
    }
}

/// Gives the open file up once the path leads to another file, or the right to write it changes. Returns the time until
/// the next look, while the file is open.
fn look_after(path: &Path, identity: Identity, access: Access, open: &Weak<OpenFile>) -> Option<Duration> {
    // Not held meanwhile, because a look may take any time.
    if open.strong_count() == 0 {
        return None;
    }
    let error = match Identity::at(path) {
        Ok(there) if there != identity => storage(path, "the file was replaced"),
        Ok(_) if access_to(path) != access => storage(path, "the right to write the file changed"),
        Ok(_) => return Some(LOOK_EVERY),
        Err(error) => of_system(path, &error),
    };
    open.upgrade()?.fail(&error);
    None
}

/// Reads all entries once, so that damage is reported before a client meets it. Calls are served meanwhile.
fn verify_all(open: &Weak<OpenFile>) {
    let begun = Instant::now();
    let Some(file) = open.upgrade() else { return };
    let path = file.file.path().display().to_string();
    let mut values = 0_u64;
    let missing = file.file.walk(&mut |_, _| {
        values += 1;
        // The last connection may have ended; then the file is not held any more.
        if Arc::strong_count(&file) > 1 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let millis = millis(begun.elapsed());
    match missing {
        Ok(0) => tracing::debug!(file = path, values, millis, "the file was verified"),
        Ok(missing) => {
            tracing::error!(file = path, values, missing, "the file is damaged: values are missing");
        }
        Err(error) => tracing::error!(file = path, %error, "the file cannot be verified"),
    }
}
