//! Cards that are swapped under load, on a real Redis, with the near cache on.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use testkit::{RedisServer, Wire, call, eventually, post, sign};

use crate::cli::process::Sandbox;

const LOGS_WITHIN: Duration = Duration::from_secs(20);

/// A card by which everyone has this score.
fn card(score: u32) -> String {
    format!(
        "version = \"{score}\"\nbase = {score}\n[[characteristic]]\nname = \"c\"\nbin = [{{ points = 0 }}]\n"
    )
}

/// Each connection sees the cards in their order, and never an earlier one again: neither from the near cache, nor from
/// Redis, which holds the scores of all of them.
#[tokio::test]
async fn no_connection_sees_a_card_again_after_the_next() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::start().await);
    sandbox.write("card.toml", card(0));
    let url = format!("store.url={}", redis.url());
    let settings =
        ["scoring.card=card.toml", "cache.near_capacity=100", "http.workers=2", "shutdown.grace=0s", &url];
    let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    let (service, address) = sandbox.serve(&arguments).await;
    let (is_over, seen) = (Cell::new(false), RefCell::new(Vec::new()));
    let caller = async || {
        let mut wire = Wire::to(address.parse().unwrap()).await;
        let mut last = 0.0;
        let mut calls = 0_u64;
        while !is_over.get() {
            // Few people, so that most calls are near hits.
            let person =
                json!({"gender": 1, "birthday": "01.01.1990", "first_name": (calls % 7).to_string()});
            wire.send(post(&sign(call("online_score", person)).to_string())).await.unwrap();
            let score = wire.answer().await.score();
            assert!(score >= last, "{score} after {last}");
            last = score;
            calls += 1;
        }
        seen.borrow_mut().push((last, calls));
    };
    let operator = async {
        for score in 1..=12 {
            sandbox.write("card.toml", card(score));
            service.signal(Signal::HUP);
            let scored_by = format!(r#""card":"{score}""#);
            eventually(LOGS_WITHIN, "calls are scored by the card", async || {
                service.out().matches(&scored_by).count() > 20
            })
            .await;
        }
        is_over.set(true);
    };
    futures_util::join!(join_all((0..6).map(|_| caller())), operator);
    for (last, calls) in seen.borrow().iter() {
        assert!(*last == 12.0 && *calls > 12, "{seen:?}");
    }
    assert!(service.out().contains(r#""source":"near""#));
    // A rollback finds its scores again, and no others.
    sandbox.write("card.toml", card(3));
    service.signal(Signal::HUP);
    let mut wire = Wire::to(address.parse().unwrap()).await;
    eventually(LOGS_WITHIN, "card 3 is back", async || {
        let person = json!({"gender": 1, "birthday": "01.01.1990", "first_name": "0"});
        wire.send(post(&sign(call("online_score", person)).to_string())).await.unwrap();
        wire.answer().await.score() == 3.0
    })
    .await;
}
