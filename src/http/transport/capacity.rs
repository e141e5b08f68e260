//! The number of connections, limited so that the process never runs out of files. A process without a free file
//! cannot accept, and its probes, stores and log fail too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::stream::LINGERING;

/// Maximum connections of the operators' listener: scrapers and probes. Pages that are watched do not keep theirs.
pub(in crate::http) const OPERATORS: usize = 32;

/// Files for everything else: standard streams, listening sockets, a certificate that is being read, the runtime.
const OTHERS: usize = 48;

/// Files of each worker: its runtime's, and four connections to stores, old and new.
const EACH_WORKER: usize = 16;

/// The default maximum of connections. Together they take some 800 MiB.
const USUAL: usize = 10_000;

/// Raises the limit on open files to the system's maximum. On many systems the default is far lower.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // On failure the limit stays as it was.
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The number of connections of each of `workers`: `wanted` together (0: the default), or as many as there are files
/// for.
pub(in crate::http) fn connections_each(wanted: usize, workers: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.map(|files| usize::try_from(files).unwrap_or(usize::MAX));
    let most = most(wanted, workers, files.unwrap_or(usize::MAX));
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            "http.max_connections is lowered to what the limit on open files allows"
        );
    }
    (most / workers).max(1)
}

fn most(wanted: usize, workers: usize, files: usize) -> usize {
    let ours = OPERATORS + LINGERING + OTHERS + EACH_WORKER * workers;
    let wanted = if wanted == 0 { USUAL } else { wanted };
    wanted.min(files.saturating_sub(ours))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::usual(0, 2, 1_000_000, 10_000)]
    #[case::usual_limit_of_files(0, 2, 1024, 848)]
    #[case::more_than_usual(50_000, 2, 1_000_000, 50_000)]
    #[case::fewer(100, 2, 1024, 100)]
    #[case::more_than_there_are_files(5_000, 2, 1024, 848)]
    #[case::hardly_any_files(0, 2, 60, 0)]
    fn connections_leave_files_for_the_rest(
        #[case] wanted: usize,
        #[case] workers: usize,
        #[case] files: usize,
        #[case] expected: usize,
    ) {
        assert_eq!(most(wanted, workers, files), expected);
    }
}
