use super::*;

#[test]
fn a_call_above_max_in_flight_is_rejected_until_another_ends() {
    paused(async {
        let test = start();
        test.scoring.act(Act::Hang);
        let in_flight: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| test.send(score_call())).collect();
        let begun = Instant::now();
        let handled = test.call(interests_call(&[1])).await;
        assert_eq!(handled.outcome, Err(CallError::Unavailable(Outage::Overload)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(test.interests.received.get(), 0);

        assert_eq!(test.shed(), [1, 0]);

        join_all(in_flight).await;
        assert!(test.call(interests_call(&[1])).await.outcome.is_ok());
        // The calls in flight missed their deadline after they had been admitted, so they do not count as shed.
        assert_eq!(test.shed(), [1, 0]);
    });
}

#[test]
fn a_refusal_does_not_look_at_the_token() {
    paused(async {
        let test = start_at(|| panic!("the token was looked at"));
        let deadline = Deadline::after(Instant::now(), DEADLINE);
        let _all = [(); MAX_IN_FLIGHT].map(|()| test.admission.admit(deadline).unwrap());
        let handled = test.call(score_call()).await;
        assert_eq!(handled.outcome, Err(CallError::Unavailable(Outage::Overload)));
    });
}

#[test]
fn a_call_gives_its_place_back_however_it_ends() {
    paused(async {
        let test = start();
        for _ in 0..2 * MAX_IN_FLIGHT {
            assert!(test.call(score_call()).await.outcome.is_ok());
            let _ = test.call(with_token("bad", "h&f", "online_score", &json!({}))).await;
            let _ = test.call(call("h&f", "online_score", &json!({}))).await;
            let admin = json!({"phone": "79175002040", "email": "a@b"});
            let _ = test.call(call("admin", "online_score", &admin)).await;
        }
        test.interests.act(Act::Panic);
        test.scoring.act(Act::Hang);
        assert!(test.call(interests_call(&[1])).await.outcome.is_err());
        assert!(test.call(score_call()).await.outcome.is_err());
        assert_eq!(test.free(), MAX_IN_FLIGHT);

        // The client disconnects: its permit is held exactly until the work ends.
        let abandoned = test.send(score_call());
        settle().await;
        drop(abandoned);
        settle().await;
        assert_eq!(test.free(), MAX_IN_FLIGHT - 1);
        sleep(DEADLINE).await;
        assert_eq!(test.free(), MAX_IN_FLIGHT);
    });
}

#[test]
fn row_31_a_dispatcher_that_panics_returns_its_permit() {
    paused(async {
        let test = start_at(|| panic!("as told"));
        for _ in 0..2 * MAX_IN_FLIGHT {
            assert_eq!(test.send(score_call()).await.unwrap_err(), MailboxError::Closed);
            assert_eq!(test.free(), MAX_IN_FLIGHT);
        }
    });
}
