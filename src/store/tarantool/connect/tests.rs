use protocols::iproto::{self, Kind, Value, greeting as server_greeting};
use rstest::rstest;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::store::{Remedy, url::StoreUrl};

fn greeting(version: &str, challenge: &str) -> [u8; GREETING] {
    let text = format!("{version:<63}\n{challenge:<63}\n");
    text.into_bytes().try_into().unwrap()
}

const VERSION: &str = "Tarantool 2.6.0 (Binary) 4f5b4d6c-6b2e-4d5e-9f3a-000000000000";
const CHALLENGE_TEXT: &str = "QK2HoFZGXTXBq2vFj7soCsHqTo6PGTF575ssUBAJLAI=";

/// As Python's `hashlib` computes it; the tests on real servers show that the server agrees.
#[test]
fn the_password_is_proved_as_the_server_expects() {
    let challenge = challenge(&greeting(VERSION, CHALLENGE_TEXT)).unwrap();
    let proof: String =
        scramble("of-the-service", &challenge).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(proof, PROOF);
}

const PROOF: &str = "86cbaac57b92573dd7497b574a55f34cfd7fae4f";

#[rstest]
#[case::another_server("SSH-2.0-OpenSSH_9.2", CHALLENGE_TEXT)]
#[case::the_console_of_the_server("Tarantool 2.6.0 (Lua console)", CHALLENGE_TEXT)]
#[case::no_challenge(VERSION, "")]
#[case::short_challenge(VERSION, "QK2HoFZG")]
#[case::bad_challenge(VERSION, "QK2Ho!ZGXTXBq2vFj7soCsHqTo6PGTF575ssUBAJLAI=")]
fn another_greeting_is_refused(#[case] version: &str, #[case] challenge_text: &str) {
    assert!(challenge(&greeting(version, challenge_text)).is_none());
}

/// How a server answers the two requests of a log-in: 0 is success, any other number an error.
async fn connected_to(auth: u64, call: u64, values: usize) -> Result<(), BackendError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tarantool://ann:secret@{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&server_greeting()).await.unwrap();
        let mut received = Vec::new();
        loop {
            while let Some(request) = iproto::take_request(&mut received) {
                let sync = request.sync;
                let answer = match request.kind {
                    Kind::Auth { user, scramble } => {
                        assert_eq!((user.as_str(), scramble), ("ann", iproto::scramble("secret")));
                        if auth == 0 { iproto::welcome(sync) } else { iproto::error(sync, auth) }
                    }
                    Kind::Call { function, .. } => {
                        assert_eq!(function, "scoring.get_many");
                        let values = Value::Array(vec![Value::Nil; values]);
                        if call == 0 {
                            iproto::returned(sync, vec![values])
                        } else {
                            iproto::error(sync, call)
                        }
                    }
                };
                stream.write_all(&answer).await.unwrap();
            }
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
    });
    let Ok(StoreUrl::Tarantool(target)) = url.parse() else { panic!("{url}") };
    let connector = TarantoolConnector::new(target, Duration::from_secs(10), Resolver::system());
    let made = connector.connect().await.map(|connection| connection.close());
    serving.await.unwrap();
    made
}

#[tokio::test]
async fn a_connection_is_used_once_it_is_known_and_served() {
    connected_to(0, 0, 0).await.unwrap();
}

#[rstest]
#[case::wrong_password(47, 42, 0, "AUTH: access refused (47)", Remedy::Wait)]
#[case::unknown_user(45, 42, 0, "AUTH: access refused (45)", Remedy::Wait)]
#[case::no_right(0, 42, 0, "CALL: access refused (42)", Remedy::Wait)]
#[case::functions_not_loaded(0, 33, 0, "CALL: the server answered with an error (33)", Remedy::Configuration)]
#[case::starts(0, 116, 0, "CALL: not serving at the moment (116)", Remedy::Reconnect)]
#[case::another_answer(0, 0, 1, "CALL: protocol error", Remedy::Reconnect)]
#[tokio::test]
async fn row_46_a_refused_log_in_is_not_used_and_has_a_remedy(
    #[case] auth: u64,
    #[case] call: u64,
    #[case] values: usize,
    #[case] cause: &str,
    #[case] remedy: Remedy,
) {
    let error = connected_to(auth, call, values).await.unwrap_err();
    assert!(error.to_string().ends_with(cause), "{error}");
    assert_eq!(error.remedy(), remedy);
    assert!(!error.to_string().contains("secret"));
}
