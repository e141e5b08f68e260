//! Many clients at once, which check every answer, while a test injects faults.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;

use super::{Person, TestApp};

/// Clients that call both methods in turn until [`Load::end`].
pub struct Load {
    running: Arc<AtomicBool>,
    clients: JoinSet<Tally>,
}

/// The clients' counts. A wrong answer is a panic.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub scores: u64,
    pub slowest_score: Duration,
    pub interests: u64,
    pub refused_interests: u64,
    pub slowest_interests: Duration,
}

// ===== impl Load =====

impl Load {
    /// Starts `clients` clients. The store must have been given [`TestApp::seeds`].
    pub fn start(app: &Arc<TestApp>, clients: usize) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (app, running) = (app.clone(), running.clone());
            set.spawn(async move {
                let mut tally = Tally::default();
                while running.load(Relaxed) {
                    tally.call(&app).await;
                }
                tally
            });
        }
        Self { running, clients: set }
    }

    /// Stops the clients and adds up their counts.
    pub async fn end(mut self) -> Tally {
        self.running.store(false, Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.clients.join_next().await {
            sum.add(&tally.expect("a client saw a wrong answer"));
        }
        sum
    }
}

// ===== impl Tally =====

impl Tally {
    async fn call(&mut self, app: &TestApp) {
        let person = Person::any();
        let score = app.online_score(&person).await;
        assert_eq!(score.score(), person.score(), "{person:?}");
        self.scores += 1;
        self.slowest_score = self.slowest_score.max(score.took);

        let interests = app.interests(&[1, 2]).await;
        match interests.status {
            200 => assert_eq!(*interests.response(), json!({"1": ["books", "hi-tech"], "2": []})),
            503 => self.refused_interests += 1,
            _ => panic!("{interests:?}"),
        }
        self.interests += 1;
        self.slowest_interests = self.slowest_interests.max(interests.took);
    }

    fn add(&mut self, other: &Self) {
        self.scores += other.scores;
        self.slowest_score = self.slowest_score.max(other.slowest_score);
        self.interests += other.interests;
        self.refused_interests += other.refused_interests;
        self.slowest_interests = self.slowest_interests.max(other.slowest_interests);
    }
}
