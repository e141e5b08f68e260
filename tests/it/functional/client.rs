//! The library's client against the running service.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use scoring_api::{
    app::Stores,
    client::{Call, Client, ClientError, Identity, Person, Policy},
    domain::{Authenticator, Method},
    store::Memory,
};
use serde_json::value::RawValue;
use testkit::{ReservedPort, Stopwatch, TestApp, settings};

fn client(app: &TestApp, salt: &str, policy: Policy) -> Client {
    let auth = settings(&[&format!("auth.salt={salt}")]).auth.policy();
    let url = format!("http://{}", app.address()).parse().unwrap();
    Client::new(url, Authenticator::new(auth).unwrap(), policy).unwrap()
}

fn partner() -> Identity {
    Identity::new("horns&hoofs", "h&f")
}

fn person() -> Person {
    Person { phone: Some("79175002040".into()), email: Some("a@b".into()), ..Person::default() }
}

#[tokio::test]
async fn it_gets_scores_and_interests() {
    let memory = Memory::new(100);
    memory.insert("i:-7".to_owned(), br#"["books"]"#.to_vec());
    let stores = Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) };
    let app = TestApp::with_stores(stores).await;
    let client = client(&app, "Otus", Policy::default());
    assert_eq!(client.online_score(&partner(), &person()).await.unwrap().value(), 3.0);
    assert_eq!(
        client.online_score(&client.credentials().admin().unwrap(), &person()).await.unwrap().value(),
        42.0
    );
    let interests = client.clients_interests(&partner(), &[3, -7]).await.unwrap();
    assert_eq!(interests, [(-7, vec!["books".to_owned()]), (3, vec![])].into());
}

#[rstest]
#[case::wrong_salt("other", "{}", 403)]
#[case::invalid("Otus", "{}", 422)]
#[case::too_large("Otus", &format!("\"{}\"", "x".repeat(300_000)), 413)]
#[case::repeated_key("Otus", r#"{"a":1,"a":1}"#, 400)]
#[tokio::test]
async fn it_tells_refusals_apart(#[case] salt: &str, #[case] arguments: &str, #[case] code: u16) {
    let app = TestApp::spawn().await;
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
    let call = Call::raw(partner(), Method::OnlineScore, arguments);
    let error = client(&app, salt, Policy::default()).send(&call).await.unwrap_err();
    assert_eq!(error.code(), Some(code), "{error:?}");
}

#[tokio::test]
async fn a_lost_store_is_a_503_with_retry_after_within_the_deadline() {
    let gone = ReservedPort::new();
    let app = TestApp::on(&format!("redis://{}", gone.addr())).await;
    let policy = Policy { deadline: Duration::from_millis(900), ..Policy::default() };
    let (client, stopwatch) = (client(&app, "Otus", policy), Stopwatch::start());
    let error = client.clients_interests(&partner(), &[1]).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unavailable { retry_after: Some(wait) } if wait == Duration::from_secs(1))
    );
    stopwatch.assert_within(Duration::from_secs(5), "a refusal");
    assert_eq!(client.online_score(&partner(), &person()).await.unwrap().value(), 3.0);
}
