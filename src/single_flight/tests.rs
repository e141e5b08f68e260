use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::*;

const GENEROUS: Duration = Duration::from_secs(20);

fn take_longer_than(time: Duration) {
    let (_open, gate) = mpsc::channel::<()>();
    _ = gate.recv_timeout(time + Duration::from_millis(10));
}

/// Work that counts how often it was started, and ends when it is told to.
struct Gated {
    started: Arc<AtomicUsize>,
    open: mpsc::Sender<()>,
    gate: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Gated {
    fn new() -> Self {
        let (open, gate) = mpsc::channel();
        Self { started: Arc::default(), open, gate: Arc::new(Mutex::new(gate)) }
    }

    fn work(&self) -> impl FnOnce() -> Result<usize, String> + Send + 'static {
        let (started, gate) = (self.started.clone(), self.gate.clone());
        move || {
            let number = started.fetch_add(1, SeqCst) + 1;
            _ = gate.lock().unwrap().recv();
            Ok(number)
        }
    }
}

async fn is_kept(flights: &SingleFlight<usize, String>) {
    let is_done = || lock(&flights.flights).values().any(|flight| matches!(flight, Flight::Kept { .. }));
    timeout(GENEROUS, async {
        while !is_done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn row_52_callers_of_one_key_share_one_piece_of_work() {
    let (flights, gated) = (SingleFlight::new("test"), Gated::new());
    for _ in 0..50 {
        let given_up = timeout(Duration::from_millis(1), flights.result("a", gated.work())).await;
        assert!(given_up.is_err());
    }
    let callers = join_all((0..50).map(|_| flights.result("a", gated.work())));
    let (outcomes, ()) = tokio::join!(timeout(GENEROUS, callers), async { gated.open.send(()).unwrap() });
    assert_eq!(outcomes.unwrap(), vec![Ok(1); 50]);
    assert_eq!(gated.started.load(SeqCst), 1);
}

#[tokio::test]
async fn keys_do_not_wait_for_each_other() {
    let (flights, gated) = (SingleFlight::new("test"), Gated::new());
    assert!(timeout(Duration::from_millis(1), flights.result("a", gated.work())).await.is_err());
    assert_eq!(timeout(GENEROUS, flights.result("b", || Ok(7))).await.unwrap(), Ok(7));
}

#[tokio::test]
async fn row_52_a_value_that_comes_too_late_is_for_the_next_callers() {
    let (flights, gated) = (SingleFlight::new("test"), Gated::new());
    assert!(timeout(Duration::from_millis(1), flights.result("a", gated.work())).await.is_err());
    gated.open.send(()).unwrap();
    is_kept(&flights).await;
    for _ in 0..2 {
        assert_eq!(flights.result("a", || Ok(99)).await, Ok(1));
    }
    for flight in lock(&flights.flights).values_mut() {
        let Flight::Kept { since, .. } = flight else { continue };
        *since -= KEPT;
    }
    assert_eq!(flights.result("a", || Ok(99)).await, Ok(99), "a value that is a second old is not used");
}

/// Its callers got it when their time was nearly up.
#[tokio::test]
async fn row_52_a_value_that_came_slowly_is_for_the_next_callers_too() {
    let flights = SingleFlight::<_, String>::new("test");
    let slow = || {
        take_longer_than(SLOW);
        Ok(1)
    };
    assert_eq!(flights.result("a", slow).await, Ok(1));
    assert_eq!(flights.result("a", || Ok(99)).await, Ok(1));
}

#[tokio::test]
async fn an_error_is_never_kept() {
    let flights = SingleFlight::new("test");
    let slow = || {
        take_longer_than(SLOW);
        Err("broken".to_owned())
    };
    assert_eq!(flights.result("a", slow).await, Err("broken".to_owned()));
    assert_eq!(flights.result("a", || Ok(99)).await, Ok(99));
}

#[tokio::test]
async fn work_that_panics_is_an_error_and_the_next_starts_afresh() {
    let flights = SingleFlight::<usize, String>::new("test");
    let result = timeout(GENEROUS, flights.result("a", || panic!("as the test says"))).await;
    assert_eq!(result.unwrap(), Err("an internal error".to_owned()));
    assert_eq!(flights.result("a", || Ok(3)).await, Ok(3));
}

#[test]
fn row_52_a_runtime_ends_while_its_work_is_blocked() {
    let (flights, gated) = (SingleFlight::new("test"), Gated::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let given_up = runtime.block_on(async {
        timeout(Duration::from_millis(1), flights.result("a", gated.work())).await.is_err()
    });
    assert!(given_up);
    let (ended, has_ended) = mpsc::channel();
    thread::spawn(move || {
        drop(runtime);
        ended.send(()).unwrap();
    });
    assert!(has_ended.recv_timeout(GENEROUS).is_ok(), "the runtime waits for blocked work");
}
