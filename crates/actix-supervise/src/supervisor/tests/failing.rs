use super::*;

#[rstest]
fn an_actor_that_cannot_start_backs_off_and_recovers_soon(
    #[values(Fall::Panic, Fall::Stop)] how: Fall,
    #[values(true, false)] in_started: bool,
) {
    paused(async {
        let world = World::shared();
        {
            let mut world = world.borrow_mut();
            world.always = true;
            if in_started {
                world.in_started = Some(how);
            } else {
                world.in_restarting = Some(how);
            }
        }
        let test = start_in(world);
        settle().await;
        if !in_started {
            let _ = test.address.send(FallInHandler(how)).await;
        }
        let queued = test.address.send(Serve(1));

        sleep(30 * SECOND).await;
        let restarts = test.health.restarts();
        assert!((30..150).contains(&restarts), "{restarts} restarts in 30 s");
        assert!(test.health.is_failing());

        let cured = Instant::now();
        test.world.borrow_mut().always = false;
        test.world.borrow_mut().in_started = None;
        test.world.borrow_mut().in_restarting = None;
        assert_eq!(queued.await.unwrap(), [1]);
        assert!(cured.elapsed() <= SECOND, "{:?}", cured.elapsed());

        assert!(test.health.is_failing(), "it has to prove itself first");
        sleep(RestartPolicy::default().stable_after + Duration::from_millis(1)).await;
        assert!(!test.health.is_failing());
    });
}

#[test]
fn the_wait_between_restarts_grows() {
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let test = start_in(world);
        sleep(30 * SECOND).await;
        let starts = test.world.borrow().starts.clone();
        let first = starts[4] - starts[0];
        let last = starts[starts.len() - 1] - starts[starts.len() - 9];
        assert!(first < 300 * Duration::from_millis(1), "{first:?}");
        assert!(last > SECOND, "{last:?}");
    });
}

#[test]
fn falls_that_are_far_apart_do_not_mark_an_actor_as_failing() {
    paused(async {
        let test = start();
        let policy = RestartPolicy::default();
        for _ in 0..50 {
            let _ = test.address.send(FallInHandler(Fall::Panic)).await;
            test.address.send(State).await.unwrap();
            assert!(!test.health.is_failing());
            sleep(policy.window / 4).await;
        }
    });
}

#[test]
fn one_restart_above_the_limit_marks_an_actor_as_failing() {
    paused(async {
        let test = start();
        for falls in 1..=RestartPolicy::default().max_restarts + 1 {
            assert!(!test.health.is_failing(), "after {} falls", falls - 1);
            let _ = test.address.send(FallInHandler(Fall::Panic)).await;
            settle().await;
        }
        assert!(test.health.is_failing());
    });
}

/// All workers share the health.
#[test]
fn an_actor_that_ends_while_failing_is_not_failing_for_ever() {
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let Test { address, health, .. } = start_in(world);
        sleep(10 * SECOND).await;
        assert!(health.is_failing());
        drop(address);
        sleep(SECOND).await;
        assert!(!health.is_failing());
    });
}

/// It fails less often than the limit allows, and never runs for as long as it has to.
#[test]
fn an_actor_that_fails_now_and_then_stays_failing() {
    paused(async {
        let policy = RestartPolicy {
            max_restarts: 1,
            window: SECOND,
            stable_after: 10 * SECOND,
            ..RestartPolicy::default()
        };
        let test = start_by(World::shared(), policy);
        let fails = async || _ = test.address.send(FallInHandler(Fall::Panic)).await;
        fails().await;
        fails().await;
        assert!(test.health.is_failing());
        for _ in 0..5 {
            sleep(5 * SECOND).await;
            fails().await;
            assert!(test.health.is_failing());
        }
        sleep(11 * SECOND).await;
        assert!(!test.health.is_failing());
    });
}
