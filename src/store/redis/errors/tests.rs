use redis::{Value, parse_redis_value};
use rstest::rstest;

use super::*;
use crate::store::{
    Remedy::{self, *},
    StoreError,
};

/// The error that the client makes of an error reply, byte by byte as the server sends it.
fn reply(line: &str) -> RedisError {
    match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => error.into(),
        other => panic!("{line:?} was read as {other:?}"),
    }
}

/// Every error reply that a server can give to what is sent here: `AUTH`, `SELECT`, `PING`, `GET`, `MGET`, `EXISTS`,
/// `SET … PX`, and by the command line `MULTI`, `MSET`, `EXEC`, `SCAN`; and, behind them, the other codes that there are.
///
/// The texts are those of Redis 7.0.15, read out of its binary, long ones cut at the end of a sentence. `…_since_7_2` is what
/// Redis 7.2 says instead. `…_on_valkey` is from Valkey's sources (server.c: `createSharedObjectsWithCompat`,
/// `createSharedObjects`, `processCommand`); with `extended-redis-compatibility` it says what Redis does. The text is never
/// looked at, only the code before it.
#[rstest]
#[case::loading("LOADING Redis is loading the dataset in memory", "not_serving", Retry)]
#[case::loading_on_valkey("LOADING Valkey is loading the dataset in memory", "not_serving", Retry)]
#[case::busy_script(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "not_serving",
    Retry
)]
#[case::busy_function(
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    "not_serving",
    Retry
)]
#[case::busy_module("BUSY Redis is busy running a module command.", "not_serving", Retry)]
#[case::busy_on_valkey(
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "not_serving",
    Retry
)]
#[case::busy_module_on_valkey("BUSY Valkey is busy running a module command.", "not_serving", Retry)]
#[case::master_down(
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "not_serving",
    Retry
)]
#[case::try_again("TRYAGAIN Multiple keys request during rehashing of slot", "not_serving", Retry)]
#[case::cluster_down("CLUSTERDOWN The cluster is down", "not_serving", Retry)]
#[case::cluster_half_down(
    "CLUSTERDOWN The cluster is down and only accepts read commands",
    "not_serving",
    Retry
)]
#[case::slot_not_served("CLUSTERDOWN Hash slot not served", "not_serving", Retry)]
#[case::read_only("READONLY You can't write against a read only replica.", "read_only", Reresolve)]
#[case::no_auth("NOAUTH Authentication required.", "denied", Wait)]
#[case::wrong_pass("WRONGPASS invalid username-password pair or user is disabled.", "denied", Wait)]
#[case::no_perm_for_the_command(
    "NOPERM this user has no permissions to run the 'get' command",
    "denied",
    Wait
)]
#[case::no_perm_for_the_command_since_7_2(
    "NOPERM User x has no permissions to run the 'get' command",
    "denied",
    Wait
)]
#[case::no_perm_for_the_key(
    "NOPERM this user has no permissions to access one of the keys used as arguments",
    "denied",
    Wait
)]
#[case::no_perm_for_the_key_since_7_2("NOPERM No permissions to access a key", "denied", Wait)]
#[case::no_perm_any_more_at_exec(
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call.",
    "denied",
    Wait
)]
#[case::protected_mode(
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.",
    "denied",
    Wait
)]
#[case::oom("OOM command not allowed when used memory > 'maxmemory'.", "writes_refused", DropWrite)]
#[case::misconf(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "writes_refused",
    DropWrite
)]
#[case::misconf_on_valkey(
    "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "writes_refused",
    DropWrite
)]
#[case::misconf_of_the_log(
    "MISCONF Errors writing to the AOF file: No space left on device",
    "writes_refused",
    DropWrite
)]
#[case::no_replicas("NOREPLICAS Not enough good replicas to write.", "writes_refused", DropWrite)]
#[case::wrong_type(
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "wrong_type",
    BadValue
)]
#[case::exec_abort("EXECABORT Transaction discarded because of previous errors.", "refused", Configuration)]
#[case::exec_abort_for_a_reason(
    "EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory",
    "refused",
    Configuration
)]
#[case::moved("MOVED 3999 127.0.0.1:6381", "redirected", Configuration)]
#[case::ask("ASK 3999 127.0.0.1:6381", "redirected", Configuration)]
#[case::cross_slot("CROSSSLOT Keys in request don't hash to the same slot", "cross_slot", BadValue)]
#[case::max_clients("ERR max number of clients reached", "refused", Configuration)]
#[case::max_cluster_clients(
    "ERR max number of clients + cluster connections reached",
    "refused",
    Configuration
)]
#[case::no_password_set(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    "refused",
    Configuration
)]
#[case::unknown_command(
    "ERR unknown command 'MGET', with args beginning with: 'i:1' ",
    "refused",
    Configuration
)]
#[case::arguments("ERR wrong number of arguments for 'get' command", "refused", Configuration)]
#[case::syntax("ERR syntax error", "refused", Configuration)]
#[case::no_integer("ERR value is not an integer or out of range", "refused", Configuration)]
#[case::no_such_database("ERR DB index is out of range", "refused", Configuration)]
#[case::select_in_a_cluster("ERR SELECT is not allowed in cluster mode", "refused", Configuration)]
#[case::expiry("ERR invalid expire time in 'set' command", "refused", Configuration)]
#[case::too_long("ERR string exceeds maximum allowed size (proto-max-bulk-len)", "refused", Configuration)]
#[case::nested("ERR MULTI calls can not be nested", "refused", Configuration)]
#[case::exec_of_nothing("ERR EXEC without MULTI", "refused", Configuration)]
#[case::not_in_a_transaction("ERR Command not allowed inside a transaction", "refused", Configuration)]
#[case::cursor("ERR invalid cursor", "refused", Configuration)]
#[case::long_bulk("ERR Protocol error: invalid bulk length", "refused", Configuration)]
#[case::many_bulks("ERR Protocol error: invalid multibulk length", "refused", Configuration)]
#[case::long_bulk_before_the_log_in(
    "ERR Protocol error: unauthenticated bulk length",
    "refused",
    Configuration
)]
#[case::many_bulks_before_the_log_in(
    "ERR Protocol error: unauthenticated multibulk length",
    "refused",
    Configuration
)]
#[case::replica_cannot_talk("ERR Replica can't interact with the keyspace", "refused", Configuration)]
// Codes that only other commands get, or clients that ask for them.
#[case::redirect_on_valkey("REDIRECT 127.0.0.1:6381", "refused", Configuration)]
#[case::unblocked("UNBLOCKED client unblocked via CLIENT UNBLOCK", "not_serving", Retry)]
#[case::no_auth_at_hello(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    "denied",
    Wait
)]
#[case::no_proto("NOPROTO unsupported protocol version", "refused", Configuration)]
#[case::busy_key("BUSYKEY Target key name already exists.", "refused", Configuration)]
#[case::no_script("NOSCRIPT No matching script. Please use EVAL.", "refused", Configuration)]
#[case::not_busy("NOTBUSY No scripts in execution right now.", "refused", Configuration)]
#[case::unkillable(
    "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.",
    "refused",
    Configuration
)]
#[case::in_progress("INPROG Failover already in progress", "refused", Configuration)]
#[case::no_good_slave("NOGOODSLAVE No suitable replica to promote", "refused", Configuration)]
#[case::no_master_link(
    "NOMASTERLINK Can't SYNC while not connected with my master",
    "refused",
    Configuration
)]
#[case::io_error("IOERR error or timeout connecting to the client", "refused", Configuration)]
#[case::a_code_of_the_future("NEWCODE whatever it means", "refused", Configuration)]
#[case::a_code_alone("NEWCODE", "refused", Configuration)]
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
fn only_a_plausible_error_code_is_passed_on(#[case] line: &str, #[case] code: &str) {
    let text = sort(&reply(line)).to_string();
    assert!(text.ends_with(&format!("({code})")), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[rstest]
#[case::refused(io::ErrorKind::ConnectionRefused, "no connection (connection refused)")]
#[case::broken_pipe(io::ErrorKind::BrokenPipe, "no connection (broken pipe)")]
#[case::broken_off(io::ErrorKind::UnexpectedEof, "no connection (unexpected end of file)")]
#[case::a_reply_without_an_end(io::ErrorKind::InvalidData, "protocol error")]
fn a_socket_error_needs_a_new_connection_and_keeps_its_kind(#[case] kind: io::ErrorKind, #[case] text: &str) {
    let error = sort(&io::Error::from(kind).into());
    assert_eq!((error.to_string().as_str(), error.remedy()), (text, Reconnect));
}

#[rstest]
#[case::not_the_protocol(ErrorKind::Parse, "protocol", Reconnect)]
#[case::another_type_than_asked_for(ErrorKind::UnexpectedReturnType, "protocol", Reconnect)]
#[case::the_log_in_failed(ErrorKind::AuthenticationFailed, "denied", Wait)]
#[case::a_bug_of_the_client(ErrorKind::Client, "refused", Configuration)]
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
    assert_eq!(error.remedy(), Reconnect, "{error:?}");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_from_an_outage() {
    assert_eq!(StoreError::from(&sort(&reply("WRONGTYPE of a key"))), StoreError::BadValue);
    assert_eq!(StoreError::from(&sort(&reply("LOADING it still is"))), StoreError::Unavailable);
}
