//! The machine that tests share: those that use it up run alone, so that the others keep their bounds.

use std::{
    cell::RefCell,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

static MACHINE: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "guards are held, not read")]
enum Hold {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

thread_local! {
    /// A test has a thread of its own, with which its hold ends.
    static HOLD: RefCell<Option<Hold>> = const { RefCell::new(None) };
}

/// Waits until no other test uses the machine alone, and prevents that until the test ends. Services and processes
/// under test call it when they start.
pub fn share() {
    HOLD.with_borrow_mut(|hold| {
        hold.get_or_insert_with(|| Hold::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)));
    });
}

/// For a test that uses the machine up: waits for those that share it, and keeps others waiting until the test ends. To be
/// called before anything is started.
pub fn alone() {
    HOLD.with_borrow_mut(|hold| {
        // Of a test before, if all run on one thread.
        *hold = None;
        *hold = Some(Hold::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)));
    });
}
