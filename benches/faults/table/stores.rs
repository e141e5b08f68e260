//! The rows about a store, on memcached and on Tarantool.

/// Where a row is shown to hold on a kind of store.
#[derive(Debug, Clone, Copy)]
pub enum Shown {
    /// By rows of this page.
    Rows(&'static str),
    /// By tests.
    Test(&'static str),
    /// The store does not have this fault, for this reason.
    None(&'static str),
}

/// A row's number, and how it is shown on memcached and on Tarantool.
pub struct OnStores(pub &'static str, pub Shown, pub Shown);

use Shown::{None, Rows, Test};

const ONE_SERVER: Shown = None("the name leads to the server that serves (DNS, a virtual address, a proxy)");
const NO_CLUSTER: Shown = None("its servers do not move keys");
const NO_TLS: Shown = None("no TLS; for private networks");

/// In the order of the table.
pub const ON_STORES: &[OnStores] = &[
    OnStores("01", Rows("01 memcached"), Rows("01 tarantool")),
    OnStores("02", Rows("02 memcached"), Rows("02 tarantool")),
    OnStores("03", Rows("03 memcached"), Rows("03 tarantool")),
    OnStores("04", Rows("04 memcached"), Rows("04 tarantool")),
    OnStores("05", Rows("05 memcached"), Rows("05 tarantool")),
    OnStores("06", Rows("06 memcached"), Rows("06 tarantool")),
    OnStores("07", Rows("07 memcached"), Rows("07 tarantool")),
    OnStores("08", Rows("08 memcached …"), Rows("08 tarantool …")),
    OnStores("09", Rows("09 memcached"), Rows("09 tarantool")),
    OnStores("10", Rows("10 memcached"), Rows("10 tarantool")),
    OnStores("11", Rows("11 memcached"), Rows("11 tarantool")),
    OnStores("12", Rows("12 memcached"), Rows("12 tarantool")),
    OnStores("13", Rows("13 memcached"), Rows("13 tarantool")),
    OnStores("14", Rows("14 memcached"), Rows("14 tarantool")),
    OnStores("15", None("no replicas"), Test("row_15_a_read_only_server_serves_both_roles")),
    OnStores(
        "16",
        Test("row_16_a_full_memcached_refuses_writes_and_serves_reads"),
        Test("an_error_has_its_remedy"),
    ),
    OnStores("17", None("no log-in"), Test("row_17_a_wrong_password_is_named_and_never_shown")),
    OnStores(
        "18",
        Test("row_18_a_full_memcached_is_named_in_its_own_words"),
        None("no limit on connections but that of files"),
    ),
    OnStores("19", None("one kind of value"), Test("row_19_a_value_of_another_kind")),
    OnStores(
        "20",
        Test("row_20_a_cached_value_that_is_not_a_score_is_overwritten"),
        Test("row_20_a_cached_value_that_is_not_a_score_is_overwritten"),
    ),
    OnStores("21", Rows("21 memcached"), Rows("21 tarantool")),
    OnStores(
        "22",
        Test("row_22_connection_dropped_while_idle"),
        Test("row_22_connection_dropped_while_idle"),
    ),
    OnStores("23", None("writes are never held up"), Rows("23 tarantool")),
    OnStores("24a", Test("row_52_*, row_53_*, row_56_*"), Test("row_52_*, row_53_*, row_56_*")),
    OnStores("24b, 24c", NO_TLS, NO_TLS),
    OnStores("25a–25d", None("no replicas"), ONE_SERVER),
    OnStores("26a–26h", Test("several_memcached_servers_each_have_their_share"), NO_CLUSTER),
    OnStores(
        "27",
        Test("row_27_no_answer_ever_belongs_to_another_request"),
        Test("row_27_no_answer_ever_belongs_to_another_request"),
    ),
    OnStores(
        "46",
        Test("row_46_a_connection_that_cannot_be_written_is_not_used"),
        Test("row_46_a_refused_log_in_is_not_used_and_has_a_remedy"),
    ),
    OnStores("48", Test("row_48_a_lost_answer_is_not_waited_for_for_ever"), Rows("48 tarantool")),
    OnStores(
        "54",
        None("one key for each question"),
        Test("row_54_values_over_the_limit_cost_only_their_callers"),
    ),
    OnStores(
        "56",
        Test("row_56_a_server_that_is_full_says_so_in_its_own_words"),
        Test("row_14_a_server_without_the_functions_serves_once_they_are_loaded"),
    ),
];

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows(rows) => f.write_str(rows),
            Self::Test(name) => write!(f, "test: {name}"),
            Self::None(reason) => write!(f, "none in this store: {reason}"),
        }
    }
}
