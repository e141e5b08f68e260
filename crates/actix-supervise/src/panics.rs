//! The places of panics. A caught panic does not tell its place; only a panic hook sees it.

use std::{
    cell::RefCell,
    panic::{self, PanicHookInfo},
    sync::Once,
    time::Duration,
};

use tokio::time::Instant;

/// A place is of the panic that was caught last, unless it is older than this. A panic that was resumed without a hook
/// must not get the place of another one.
const FRESH: Duration = Duration::from_secs(1);

struct Place {
    text: String,
    at: Instant,
}

thread_local! {
    static LAST: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Makes reports of restarts name the places of panics, by a panic hook before the present one. Call it once, after the
/// program has set a hook of its own; later calls do nothing. A program may call [`note_panic`] in its own hook instead.
pub fn record_panic_places() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            note_panic(panic);
            next(panic);
        }));
    });
}

/// Notes the place of a panic of this thread. For a program's own panic hook.
pub fn note_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(|place| Place { text: place.to_string(), at: Instant::now() });
    // Fails while the thread ends, when no actor is restarted any more.
    _ = LAST.try_with(|last| last.replace(place));
}

/// The place of the panic that this thread has just caught, if a hook noted it.
pub(crate) fn take_place() -> Option<String> {
    let last = LAST.try_with(RefCell::take).ok().flatten()?;
    (last.at.elapsed() < FRESH).then_some(last.text)
}
