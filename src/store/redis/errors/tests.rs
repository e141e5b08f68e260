use redis::{Value, parse_redis_value};
use rstest::rstest;

use super::*;
use crate::store::{Remedy, StoreError};

/// The error that the client makes of an error reply, byte by byte as the server sends it.
fn reply(line: &str) -> RedisError {
    match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => error.into(),
        other => panic!("{line:?} was read as {other:?}"),
    }
}

#[rstest]
#[case::loading("LOADING Redis is loading the dataset in memory", "not_serving", Remedy::Retry)]
#[case::busy("BUSY Redis is busy running a script", "not_serving", Remedy::Retry)]
#[case::try_again("TRYAGAIN Multiple keys request during rehashing", "not_serving", Remedy::Retry)]
#[case::cluster_down("CLUSTERDOWN The cluster is down", "not_serving", Remedy::Retry)]
#[case::master_down("MASTERDOWN Link with MASTER is down", "not_serving", Remedy::Retry)]
#[case::read_only("READONLY You can't write against a read only replica.", "read_only", Remedy::Reconnect)]
#[case::no_auth("NOAUTH Authentication required.", "denied", Remedy::Wait)]
#[case::wrong_pass("WRONGPASS invalid username-password pair", "denied", Remedy::Wait)]
#[case::no_perm("NOPERM No permissions to access a key", "denied", Remedy::Wait)]
#[case::oom("OOM command not allowed when used memory > 'maxmemory'.", "writes_refused", Remedy::DropWrite)]
#[case::misconf("MISCONF Redis is configured to save RDB snapshots", "writes_refused", Remedy::DropWrite)]
#[case::no_replicas("NOREPLICAS Not enough good replicas to write.", "writes_refused", Remedy::DropWrite)]
#[case::wrong_type(
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "wrong_type",
    Remedy::BadValue
)]
#[case::exec_abort("EXECABORT Transaction discarded", "refused", Remedy::Configuration)]
#[case::max_clients("ERR max number of clients reached", "refused", Remedy::Configuration)]
#[case::unknown_command("ERR unknown command 'MGET'", "refused", Remedy::Configuration)]
#[case::moved("MOVED 3999 127.0.0.1:6381", "refused", Remedy::Configuration)]
#[case::a_code_of_the_future("NEWCODE whatever it means", "refused", Remedy::Configuration)]
#[case::a_code_alone("NEWCODE", "refused", Remedy::Configuration)]
fn an_error_reply_is_sorted_by_its_code(#[case] line: &str, #[case] kind: &str, #[case] remedy: Remedy) {
    let error = sort(&reply(line));
    assert_eq!((error.kind(), error.remedy()), (kind, remedy));
}

#[rstest]
#[case::a_known_one("LOADING Redis is loading", "LOADING")]
#[case::one_without_a_kind_in_the_client("MISCONF cannot persist", "MISCONF")]
#[case::an_unknown_one("NEWCODE whatever", "NEWCODE")]
#[case::lower_case("secret value", "unknown")]
#[case::mixed_case("Secret value", "unknown")]
#[case::with_digits("S3CRET value", "unknown")]
#[case::too_long("ABCDEFGHIJKLMNOPQRSTUVWXYZ value", "unknown")]
#[case::not_ascii("ПАРОЛЬ value", "unknown")]
#[case::none_before_the_text(" secret", "unknown")]
#[case::nothing_at_all("", "unknown")]
fn only_what_looks_like_a_code_is_passed_on(#[case] line: &str, #[case] code: &str) {
    let text = sort(&reply(line)).to_string();
    assert!(text.ends_with(&format!("({code})")), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[rstest]
#[case::refused(io::ErrorKind::ConnectionRefused, "no connection (connection refused)")]
#[case::broken_pipe(io::ErrorKind::BrokenPipe, "no connection (broken pipe)")]
#[case::broken_off(io::ErrorKind::UnexpectedEof, "no connection (unexpected end of file)")]
#[case::a_reply_without_an_end(io::ErrorKind::InvalidData, "protocol error")]
fn an_error_of_the_socket_asks_for_a_new_connection_and_keeps_its_kind(
    #[case] kind: io::ErrorKind,
    #[case] text: &str,
) {
    let error = sort(&io::Error::from(kind).into());
    assert_eq!((error.to_string().as_str(), error.remedy()), (text, Remedy::Reconnect));
}

#[rstest]
#[case::not_the_protocol(ErrorKind::Parse, "protocol", Remedy::Reconnect)]
#[case::another_type_than_asked_for(ErrorKind::UnexpectedReturnType, "protocol", Remedy::Reconnect)]
#[case::the_log_in_failed(ErrorKind::AuthenticationFailed, "denied", Remedy::Wait)]
#[case::a_bug_of_the_client(ErrorKind::Client, "refused", Remedy::Configuration)]
fn an_error_of_the_client_is_sorted_by_its_kind(
    #[case] kind: ErrorKind,
    #[case] sorted: &str,
    #[case] remedy: Remedy,
) {
    let error = sort(&RedisError::from((kind, "a description", "secret".to_owned())));
    assert_eq!((error.kind(), error.remedy()), (sorted, remedy));
    assert!(!error.to_string().contains("secret"));
}

#[rstest]
#[case::garbage(b"GET / HTTP/1.1\r\n")]
#[case::a_huge_length(b"$99999999999999999999\r\n")]
fn bytes_that_are_no_reply_ask_for_a_new_connection(#[case] bytes: &[u8]) {
    let error = sort(&parse_redis_value(bytes).unwrap_err());
    assert_eq!(error.remedy(), Remedy::Reconnect, "{error:?}");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_from_an_outage() {
    assert_eq!(StoreError::from(&sort(&reply("WRONGTYPE of a key"))), StoreError::BadValue);
    assert_eq!(StoreError::from(&sort(&reply("LOADING it still is"))), StoreError::Unavailable);
}
