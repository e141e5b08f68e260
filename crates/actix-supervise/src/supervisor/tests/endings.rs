use super::*;

#[rstest]
#[case::an_idle_actor(false)]
#[case::an_actor_with_a_future_that_never_ends(true)]
fn an_actor_ends_with_its_last_address_and_that_is_no_restart(#[case] busy: bool) {
    paused(async {
        let Test { address, health, world } = start();
        if busy {
            address.do_send(Hang);
        }
        settle().await;
        let other = address.clone();
        drop(address);
        settle().await;
        assert!(!world.borrow().dropped);
        drop(other);
        settle().await;
        assert!(world.borrow().dropped);
        assert_eq!(health.restarts(), 0);
    });
}

#[test]
fn messages_sent_before_the_last_address_is_dropped_are_handled() {
    paused(async {
        let Test { address, .. } = start();
        let sent = address.send(Serve(1));
        drop(address);
        assert_eq!(sent.await.unwrap(), [1]);
    });
}

#[rstest]
#[case::when_dropped(true, false)]
#[case::when_stopped(false, true)]
fn an_actor_that_panics_at_shutdown_takes_nothing_else_down(#[case] dropped: bool, #[case] stopped: bool) {
    let world = World::shared();
    paused(async {
        let test = start_in(world.clone());
        settle().await;
        world.borrow_mut().panics_when_dropped = dropped;
        world.borrow_mut().panics_in_stopped = stopped;
        // The actor's thread ends while its address is still held.
        std::mem::forget(test.address);
    });
    assert!(world.borrow().dropped);
}

/// Code that drops the supervisor itself need not catch a panic.
#[test]
fn dropping_a_supervisor_does_not_panic() {
    let world = World::shared();
    paused(async {
        world.borrow_mut().panics_when_dropped = true;
        let actor = FailingActor { world: world.clone(), state: (0, 0), served: Vec::new() };
        let health = ActorsHealth::default().of("failing_actor");
        drop(Supervisor::new(Context::new().into_future(actor), RestartPolicy::default(), health));
    });
    assert!(world.borrow().dropped);
}
