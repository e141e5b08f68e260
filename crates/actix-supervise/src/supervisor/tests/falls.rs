use super::*;
use crate::panics::record_panic_places;

#[rstest]
#[case::panic_in_a_handler(Fall::Panic)]
#[case::stop_in_a_handler(Fall::Stop)]
fn a_panic_in_a_handler_restarts_the_actor_and_keeps_its_queue(#[case] how: Fall) {
    paused(async {
        let test = start();
        let begun = Instant::now();
        let falling = test.address.send(FallInHandler(how));
        let queued: Vec<_> = (1..=5).map(|number| test.address.send(Serve(number))).collect();

        // An actor that stops has handled its message; one that panics has not.
        assert_eq!(falling.await, if how == Fall::Panic { Err(MailboxError::Closed) } else { Ok(()) });
        let served: Vec<_> = join_all(queued).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(served.last().unwrap(), &[1, 2, 3, 4, 5]);
        assert!(begun.elapsed() <= AT_ONCE, "{:?}", begun.elapsed());
        assert_eq!((test.health.restarts(), test.starts()), (1, 2));
        assert!(!test.health.is_failing());
    });
}

#[rstest]
fn an_actor_that_panics_in_its_own_future_restarts_at_once(#[values(Fall::Panic, Fall::Stop)] how: Fall) {
    paused(async {
        let test = start();
        let (falling, hanging) = (test.address.send(FallInActorFuture(how)), test.address.send(Hang));
        settle().await;
        let begun = Instant::now();
        let fallen = falling.await;
        assert!(how == Fall::Stop || fallen == Err(MailboxError::Closed));
        assert_eq!(test.address.send(Serve(1)).await.unwrap(), [1]);
        assert!(begun.elapsed() <= AT_ONCE, "{:?}", begun.elapsed());
        // Work that ran in the actor itself is lost with it, and its caller gets an error.
        assert_eq!(hanging.await, Err(MailboxError::Closed));
        assert_eq!((test.health.restarts(), test.starts()), (1, 2));
    });
}

#[rstest]
#[case::in_started(true)]
#[case::in_restarting(false)]
fn an_actor_that_falls_while_it_starts_is_started_again(
    #[case] in_started: bool,
    #[values(Fall::Panic, Fall::Stop)] how: Fall,
) {
    paused(async {
        let test = start();
        if in_started {
            test.world.borrow_mut().in_started = Some(how);
        } else {
            settle().await;
            test.world.borrow_mut().in_restarting = Some(how);
            assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
        }
        let begun = Instant::now();
        assert_eq!(test.address.send(Serve(1)).await.unwrap(), [1]);
        assert!(begun.elapsed() <= 2 * AT_ONCE, "{:?}", begun.elapsed());
        assert_eq!(test.health.restarts(), if in_started { 1 } else { 2 });
    });
}

#[test]
fn a_panic_in_a_future_costs_only_its_caller() {
    paused(async {
        let test = start();
        let panicking = test.address.send(PanicInFuture);
        let beside = test.address.send(Serve(1));
        assert_eq!(panicking.await, Err(MailboxError::Closed));
        assert_eq!(beside.await.unwrap(), [1]);
        assert_eq!((test.health.restarts(), test.starts()), (0, 1));
    });
}

#[test]
fn a_restarted_actor_shows_no_half_changed_state() {
    paused(async {
        let test = start();
        assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
        assert_eq!(test.address.send(State).await.unwrap(), (0, 0));
    });
}

#[test]
fn an_address_outlives_any_number_of_falls() {
    paused(async {
        let test = start();
        for _ in 0..50 {
            assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
            assert_eq!(test.address.send(State).await.unwrap(), (0, 0));
        }
        assert_eq!(test.health.restarts(), 50);
    });
}

#[test]
fn restarts_are_counted_by_their_reason() {
    paused(async {
        let test = start();
        for how in [Fall::Panic, Fall::Stop, Fall::Panic] {
            let _ = test.address.send(FallInHandler(how)).await;
            test.address.send(State).await.unwrap();
        }
        assert_eq!(
            (test.health.restarts_by(RestartReason::Panic), test.health.restarts_by(RestartReason::Stop)),
            (2, 1)
        );
        assert_eq!(test.health.restarts(), 3);
    });
}

// ===== the log =====

#[test]
fn a_restart_is_logged_once_with_its_reason() {
    record_panic_places();
    let (log, _guard) = Log::capture();
    paused(async {
        let test = start();
        let _ = test.address.send(FallInHandler(Fall::Panic)).await;
        test.address.send(State).await.unwrap();
    });
    assert_eq!(log.lines_with("actor restarts"), 1, "{}", log.text());
    for field in [
        "supervisor/tests.rs:",
        "actor=\"failing_actor\"",
        "reason=\"panic\"",
        "panic=\"as told\"",
        "delay_ms=",
    ] {
        assert_eq!(log.lines_with(field), 1, "{}", log.text());
    }
}

/// Such a text could hold personal data.
#[test]
fn a_panics_text_that_was_made_at_run_time_is_not_logged() {
    let (log, _guard) = Log::capture();
    paused(async {
        let test = start();
        let secret = PanicAbout("79175002040".to_owned());
        let _ = test.address.send(secret).await;
        test.address.send(State).await.unwrap();
    });
    assert_eq!(log.lines_with("actor restarts"), 1, "{}", log.text());
    assert!(!log.text().contains("79175002040"), "{}", log.text());
}

#[test]
fn the_start_and_the_end_of_failing_are_logged_once() {
    let (log, _guard) = Log::capture();
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let test = start_in(world);
        sleep(10 * SECOND).await;
        test.world.borrow_mut().in_started = None;
        sleep(2 * SECOND).await;
    });
    assert_eq!(log.lines_with("actor is failing"), 1, "{}", log.text());
    assert_eq!(log.lines_with("actor is well again"), 1, "{}", log.text());
}
