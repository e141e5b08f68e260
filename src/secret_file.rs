//! Files with one secret, as Docker, Kubernetes and systemd provide them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use secrecy::SecretString;

use crate::units::{HIDDEN, HIDDEN_IS_NO_SECRET, as_u64};

/// More bytes than a secret has; limits the cost of a wrong path such as `/dev/zero`.
const LARGEST: u64 = 64 * 1024;

/// The file's text without a newline at its end, which editors and `echo` add.
///
/// Blocks. Errors name the file, and never show its contents.
pub(crate) fn read(file: &Path) -> Result<SecretString, String> {
    let refused = |why: &str| format!("{}: {why}", file.display());
    let bytes = read_bounded(file, LARGEST).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    let bytes = bytes.ok_or_else(|| refused("too large for a secret"))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("not valid UTF-8"))?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        "" => Err(refused("is empty")),
        HIDDEN => Err(refused(HIDDEN_IS_NO_SECRET)),
        secret => Ok(secret.into()),
    }
}

/// The contents of a file; `None` if it has more than `most` bytes. Blocks.
pub(crate) fn read_bounded(file: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((as_u64(bytes.len()) <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use secrecy::ExposeSecret;

    use super::*;

    #[rstest]
    #[case::plain(b"hunter2", "hunter2")]
    #[case::newline(b"hunter2\n", "hunter2")]
    #[case::carriage_return(b"hunter2\r\n", "hunter2")]
    #[case::only_one_newline(b"hunter2\n\n", "hunter2\n")]
    #[case::blanks_stay(b" hunter2 \n", " hunter2 ")]
    #[case::lone_carriage_return(b"hunter2\r", "hunter2\r")]
    fn a_secret_file_loses_one_newline(#[case] contents: &[u8], #[case] expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, contents).unwrap();
        assert_eq!(read(file.path()).unwrap().expose_secret(), expected);
    }

    #[rstest]
    #[case::empty(b"", "is empty")]
    #[case::only_a_newline(b"\n", "is empty")]
    #[case::only_a_carriage_return_and_newline(b"\r\n", "is empty")]
    #[case::hidden(b"***\n", HIDDEN_IS_NO_SECRET)]
    #[case::not_utf8(b"\xff", "not valid UTF-8")]
    #[case::too_large(&[b'x'; LARGEST as usize + 1], "too large for a secret")]
    fn a_bad_secret_file_is_named(#[case] contents: &[u8], #[case] expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, contents).unwrap();
        assert_eq!(read(file.path()).unwrap_err(), format!("{}: {expected}", file.path().display()));
    }

    #[test]
    fn a_secret_as_large_as_allowed_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, [b'x'; LARGEST as usize]).unwrap();
        assert!(read(file.path()).is_ok());
    }

    #[rstest]
    #[case::missing("/nonexistent/salt")]
    #[case::directory("/")]
    fn an_unreadable_secret_file_is_named(#[case] path: &str) {
        let problem = read(Path::new(path)).unwrap_err();
        assert!(problem.starts_with(&format!("{path}: cannot be read: ")), "{problem}");
    }
}
