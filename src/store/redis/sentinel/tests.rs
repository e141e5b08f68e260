use rstest::rstest;

use super::{super::testing::Server, *};
use crate::{
    resolver::Resolver,
    store::{Remedy, url::StoreUrl},
};

fn claim(host: &str, epoch: u64) -> Claim {
    Claim { primary: HostAndPort { host: host.to_owned(), port: 6379 }, epoch }
}

fn says(host: &str, epoch: u64) -> Answer {
    Answer::Claim(claim(host, epoch))
}

fn gone() -> Answer {
    Answer::Failed("timed out".to_owned())
}

#[rstest]
#[case::first(None, vec![says("a", 1), says("a", 1), says("a", 1)], Some(claim("a", 1)))]
#[case::greatest_epoch(None, vec![says("a", 1), says("a", 1), says("b", 2)], Some(claim("b", 2)))]
#[case::leader_knows_first(Some(claim("a", 1)), vec![says("a", 1), says("b", 2), says("a", 1)], Some(claim("b", 2)))]
#[case::one_with_old_news(Some(claim("b", 2)), vec![says("a", 1), gone(), gone()], Some(claim("b", 2)))]
#[case::all_gone(Some(claim("b", 2)), vec![gone(), gone(), gone()], Some(claim("b", 2)))]
#[case::most_start_anew(Some(claim("b", 9)), vec![says("a", 0), says("a", 0), gone()], Some(claim("a", 0)))]
#[case::most_for_one_epoch(Some(claim("a", 1)), vec![says("a", 1), says("b", 1), says("b", 1)], Some(claim("b", 1)))]
#[case::as_many_for_each(Some(claim("a", 1)), vec![says("a", 1), says("b", 1)], Some(claim("a", 1)))]
#[case::as_many_for_each_turned(Some(claim("a", 1)), vec![says("b", 1), says("a", 1)], Some(claim("a", 1)))]
#[case::nobody_knows(None, vec![gone(), gone(), gone()], None)]
fn row_25c_the_greatest_epoch_wins(
    #[case] known: Option<Claim>,
    #[case] answers: Vec<Answer>,
    #[case] expected: Option<Claim>,
) {
    assert_eq!(choose(known.as_ref(), &answers), expected);
}

#[test]
fn row_25c_a_sentinel_with_old_news_does_not_decide_at_the_start() {
    let mut view = View { claim: None, answers: vec![Answer::Outstanding; 3] };
    view.hear("name", 0, says("old", 1));
    assert!(view.claim.is_none() && !view.is_decided());
    view.hear("name", 1, says("new", 2));
    assert_eq!(view.claim, Some(claim("new", 2)));
    // An answer that changes nothing does not wake a reader.
    assert!(!view.hear("name", 1, says("new", 2)));
}

#[test]
fn one_sentinel_of_three_is_believed_when_the_others_do_not_answer() {
    let mut view = View { claim: None, answers: vec![Answer::Outstanding; 3] };
    view.hear("name", 0, says("a", 1));
    view.hear("name", 1, gone());
    assert!(!view.is_decided());
    view.hear("name", 2, gone());
    assert_eq!(view.claim, Some(claim("a", 1)));
}

/// The state of a primary, as a sentinel tells it.
fn state(name: &str, epoch: &str) -> String {
    let fields = ["name", name, "config-epoch", epoch];
    let lines = fields.map(|field| format!("${}\r\n{field}\r\n", field.len()));
    format!("*{}\r\n{}", fields.len(), lines.concat())
}

fn address(host: &str, port: &str) -> String {
    format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len())
}

/// A sentinel with these answers.
async fn sentinel(address: String, state: String) -> Server {
    // The doubles live as long as the test's process.
    let leak = |answer: String| -> &'static str { Box::leak(answer.into_boxed_str()) };
    Server::start(&[("GET-MASTER-ADDR-BY-NAME", leak(address)), ("MASTER", leak(state))]).await
}

fn connector(sentinel: &Server) -> RedisConnector {
    let url = format!("redis+sentinel://{}/scores", sentinel.address);
    let Ok(StoreUrl::Redis(target)) = url.parse() else { panic!("{url}") };
    RedisConnector::new(target, Duration::from_secs(20), Resolver::system())
}

async fn connect(sentinel: &Server) -> Result<RedisConnection, BackendError> {
    connector(sentinel).establish().await
}

#[tokio::test]
async fn connectors_of_one_url_ask_together() {
    let server = Server::start(&[("ROLE", "*1\r\n$6\r\nmaster\r\n")]).await;
    let port = server.address.port().to_string();
    let sentinel = sentinel(address("127.0.0.1", &port), state("scores", "7")).await;
    let one = connector(&sentinel);
    let other = connector(&sentinel).asking_together_with(&one);
    for connector in [&one, &other] {
        assert!(connector.establish().await.is_ok());
    }
    // Each connection to the sentinel begins with one.
    assert_eq!(sentinel.asked().iter().filter(|line| *line == "PING").count(), 1);
}

#[rstest]
#[case::primary("*1\r\n$6\r\nmaster\r\n", None)]
#[case::replica("*1\r\n$5\r\nslave\r\n", Some(("ROLE: the server is read-only", Remedy::Reconnect)))]
#[case::sentinel("*1\r\n$8\r\nsentinel\r\n", Some(("ROLE: protocol error", Remedy::Reconnect)))]
#[case::nothing("*0\r\n", Some(("ROLE: protocol error", Remedy::Reconnect)))]
#[case::another_kind("+master\r\n", Some(("ROLE: protocol error", Remedy::Reconnect)))]
#[case::forbidden("-NOPERM no\r\n", Some(("ROLE: access refused (NOPERM)", Remedy::Wait)))]
#[tokio::test]
async fn row_25c_a_server_that_is_no_primary_is_not_used(
    #[case] role: &'static str,
    #[case] expected: Option<(&str, Remedy)>,
) {
    let server = Server::start(&[("ROLE", role)]).await;
    let port = server.address.port().to_string();
    let sentinel = sentinel(address("127.0.0.1", &port), state("scores", "7")).await;
    let refused = connect(&sentinel).await.err();
    let refused = refused.map(|error| (error.to_string(), error.remedy()));
    assert_eq!(refused, expected.map(|(text, remedy)| (format!("{}: {text}", server.address), remedy)));
}

#[rstest]
#[case::unknown_name("*-1\r\n".to_owned(), "-ERR No such master\r\n".to_owned(), "does not know the name scores")]
#[case::no_sentinel("-ERR unknown command\r\n".to_owned(), "-ERR unknown command\r\n".to_owned(), "is not a sentinel")]
#[case::another_name(address("127.0.0.1", "1"), state("others", "7"), "protocol error")]
#[case::no_host(address("", "1"), state("scores", "7"), "protocol error")]
#[case::no_port(address("127.0.0.1", "x"), state("scores", "7"), "protocol error")]
#[case::no_epoch(address("127.0.0.1", "1"), state("scores", "-1"), "protocol error")]
#[case::forbidden("-NOPERM no\r\n".to_owned(), "-NOPERM no\r\n".to_owned(), "access refused (NOPERM)")]
#[tokio::test]
async fn an_answer_of_a_sentinel_that_names_no_primary_is_named(
    #[case] address: String,
    #[case] state: String,
    #[case] cause: &str,
) {
    let sentinel = sentinel(address, state).await;
    let error = connect(&sentinel).await.err().unwrap();
    assert_eq!(error.to_string(), format!("no sentinel names a primary: {}: {cause}", sentinel.address));
    assert_eq!((error.kind(), error.remedy()), ("no_primary", Remedy::Reconnect));
}
