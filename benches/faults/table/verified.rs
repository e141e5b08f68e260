//! Faults of states that were once assumed, and those that the simulation found.

use super::{Row, degraded, row};
use crate::{
    file_rows, redis_rows,
    row::{
        Cause,
        Kind::{Own, Store, Test},
    },
};

pub(super) const ROWS: &[Row] = &[
    row(
        "46_script",
        "a script of 3 s, on database 3; new connections cannot choose it",
        "D; never another database's data; R1",
        Store(degraded(Cause::ScriptOnDatabase3)),
    ),
    row(
        "46_bulk",
        "32 imports and exports on database 3 beside scripts",
        "exit 1, or all of it in database 3",
        Own(redis_rows::bulk_beside_scripts),
    ),
    row("47_eio", "reads of the embedded file fail for 1.5 s", "D; R1", Own(file_rows::reads_fail)),
    row(
        "47_enospc",
        "the disk is full while an import writes",
        "import exits 1; the service goes on",
        Own(file_rows::an_import_finds_the_disk_full),
    ),
    row(
        "49",
        "bits of the embedded file flipped, before it is opened or while it is open",
        "right, 500 or 503; export complete or exit 1",
        Own(file_rows::bits_are_flipped),
    ),
    row(
        "50",
        "the file is moved away, comes back, is replaced",
        "D, then the file at the path; 1 s",
        Own(file_rows::the_file_is_replaced),
    ),
    row(
        "51_full",
        "first start on a full disk",
        "D; usable when there is room; R1",
        Own(file_rows::first_start_on_a_full_disk),
    ),
    row(
        "51_killed",
        "killed while the file is made, 60 times",
        "each time usable",
        Own(file_rows::killed_while_the_file_is_made),
    ),
    row(
        "52",
        "the name server does not answer for a minute; 16 workers, 256 files",
        "D; threads and files flat; R1",
        Own(redis_rows::names_do_not_resolve),
    ),
    row(
        "53",
        "a name with two addresses, the first silent",
        "OK; 1 s from the start",
        Own(redis_rows::the_first_address_is_silent),
    ),
    row(
        "54_crossslot",
        "4 callers ask for two ids of a server in cluster mode in a loop",
        "500; 99 % of others OK",
        Own(redis_rows::keys_of_two_slots),
    ),
    row(
        "54_huge",
        "4 callers ask for a value of 80 MB in a loop",
        "500; 99 % of others OK; memory",
        Own(redis_rows::a_huge_value),
    ),
    row(
        "54_output_buffer",
        "4 callers ask for a value over the server's limit of output buffers in a loop",
        "500; 99 % of others OK; memory",
        Own(redis_rows::over_the_servers_output_buffer),
    ),
    row(
        "55",
        "the embedded file on a read-only file system (needs root)",
        "reads, get, export work; import exits 1; readiness says read_only",
        Own(file_rows::read_only_file_system),
    ),
    row(
        "62",
        "the password changes, or the log-in is refused with an unspecific error",
        "D; health says so at once; tried again within 2 s, and within 0.6 s",
        Test(
            "row_62_a_rejected_log_in_opens_the_breaker_at_once, row_56_a_log_in_that_needs_an_operator_is_paced_and_named",
        ),
    ),
    row(
        "63",
        "one connection is slow for ever, others would not be",
        "D; a new connection within a minute",
        Test("row_63_a_connection_slow_for_a_minute_is_replaced"),
    ),
    row(
        "64",
        "the links of a role open and close in turn",
        "at most two lines of the log in a second",
        Test("row_64_links_in_turn_are_not_logged_as_a_store_that_flaps"),
    ),
];
