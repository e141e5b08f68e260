use super::*;

/// What can be wrong with a store, in the ways that differ for a link.
fn refuses(script: &Script) {
    script.refuse_connects();
}

fn black_hole(script: &Script) {
    script.commands(&Act::Hang);
    script.state().connect = Act::FailAfter(Duration::from_millis(300), BackendError::TimedOut);
}

/// As a proxy does whose store is gone: it greets, and that is all.
fn only_greets(script: &Script) {
    script.commands(&Act::Hang);
}

fn is_slow(script: &Script) {
    script.commands(&Act::Trickle(10 * SECOND));
}

fn is_loading(script: &Script) {
    script.commands(&Act::Fail(loading()));
}

fn talks_nonsense(script: &Script) {
    script.commands(&Act::Fail(BackendError::Protocol));
}

fn does_not_know_the_command(script: &Script) {
    script.commands(&Act::Fail(BackendError::Refused { code: "ERR".to_owned() }));
}

#[rstest]
fn requests_are_answered_within_a_second_after_a_fault(
    #[values(
        refuses,
        black_hole,
        only_greets,
        is_slow,
        is_loading,
        talks_nonsense,
        does_not_know_the_command
    )]
    fault: fn(&Script),
    #[values(Duration::from_secs(2), Duration::from_millis(2_345), Duration::from_secs(60))] lasts: Duration,
) {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        fault(&script);
        until_open(&link, &cache).await;

        let sent = script.state().gets;
        let over = Instant::now() + lasts;
        while Instant::now() < over {
            let begun = Instant::now();
            get(&cache).await.unwrap_err();
            assert_eq!(begun.elapsed(), Duration::ZERO, "an open breaker makes no one wait");
            sleep(Duration::from_millis(7)).await;
        }
        assert_eq!(script.state().gets, sent, "an open breaker lets no request through");

        script.heal();
        sleep(SECOND).await;
        get(&cache).await.unwrap();
        assert_eq!((script.open(), script.state().gets), (1, sent + 1));
    });
}

/// Requests may be rare, and readiness has to tell all the same.
#[rstest]
fn a_fault_opens_the_breaker_without_requests(
    #[values(refuses, black_hole, only_greets, is_loading, talks_nonsense)] fault: fn(&Script),
    #[values(Role::Cache, Role::Persistent)] role: Role,
) {
    paused(async {
        let script = Script::default();
        let status = status(role);
        let (link, _keeper) =
            Link::start(script.connector(), LinkPolicy::new(TIMEOUT), LinkHealth::new(status.clone()));
        sleep(SECOND).await;
        assert!(status.report().up);
        fault(&script);
        sleep(3 * SECOND).await;
        assert!(link.state().is_open());
        assert!(!status.report().up);
    });
}

/// A proxy whose store is gone greets every new connection: that must not look like recovery.
#[test]
fn a_store_that_only_greets_fails_persistent_reads_at_once() {
    paused(async {
        let script = Script::default();
        let link = start(&script, Role::Persistent);
        let requests = PersistentReader::new(std::slice::from_ref(&link), 3);
        sleep(SECOND).await;
        only_greets(&script);
        let begun = Instant::now();
        while begun.elapsed() < 3 * SECOND {
            let _ = requests.get_many(Arc::from(["i:1".to_owned()]), Instant::now() + SECOND / 2).await;
            settle().await;
        }
        for _ in 0..100 {
            let begun = Instant::now();
            let outcome = requests.get_many(Arc::from(["i:1".to_owned()]), begun + SECOND / 2).await;
            assert_eq!(outcome, Err(StoreError::Unavailable));
            assert_eq!(begun.elapsed(), Duration::ZERO);
            sleep(Duration::from_millis(11)).await;
        }
    });
}

#[test]
fn probes_go_out_faster_while_the_breaker_is_open() {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        let before = script.state().probes.len();
        sleep(5 * SECOND).await;
        assert_eq!(script.state().probes.len() - before, 20);

        script.commands(&Act::Fail(loading()));
        until_open(&link, &cache).await;
        sleep(SECOND).await;
        let before = script.state().probes.len();
        sleep(SECOND).await;
        assert_eq!(script.state().probes.len() - before, 20);
    });
}

#[test]
fn ten_killed_connections_a_second_do_not_open_the_breaker() {
    paused(async {
        let script = Script::default();
        let (link, _) = connected(&script).await;
        for _ in 0..100 {
            script.cut();
            sleep(TIMEOUT).await;
            assert!(!link.state().is_open());
        }
    });
}

#[test]
fn any_number_of_requests_that_fail_by_one_stall_count_once() {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        script.commands(&Act::Trickle(10 * SECOND));
        let requests = futures_util::future::join_all((0..1_000).map(|_| get(&cache)));
        for outcome in requests.await {
            assert!(matches!(outcome, Err(BackendError::TimedOut)));
        }
        assert!(!link.state().is_open());
    });
}

#[test]
fn requests_cut_short_by_their_own_deadline_do_not_count() {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        script.commands(&Act::Trickle(Duration::from_millis(90)));
        for _ in 0..100 {
            let deadline = Instant::now() + Duration::from_millis(20);
            cache.get("uid:1".to_owned(), deadline).await.unwrap_err();
        }
        assert!(!link.state().is_open());
    });
}
