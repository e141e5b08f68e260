//! memcached's meta protocol.

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `mg`.
    Get { key: String, token: String },
    /// `ms`.
    Set { key: String, value: Vec<u8>, seconds: u64, token: String },
}

impl Command {
    /// The text that the answer repeats.
    pub fn token(&self) -> &str {
        match self {
            Self::Get { token, .. } | Self::Set { token, .. } => token,
        }
    }
}

/// Takes one command off the front of `buffer`, if it is complete.
pub fn take_command(buffer: &mut Vec<u8>) -> Option<Command> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8(buffer[..end].to_vec()).expect("a command is text");
    let words: Vec<_> = line.split(' ').collect();
    let flag = |letter| {
        let flag = words.iter().skip(2).find_map(|word| word.strip_prefix(letter));
        flag.unwrap_or_else(|| panic!("no {letter} in {line}")).to_owned()
    };
    let key = words[1].to_owned();
    assert!((1..=250).contains(&key.len()), "{line}");
    let (command, length) = match words[0] {
        "mg" => (Command::Get { key, token: flag('O') }, end + 2),
        "ms" => {
            let length: usize = words[2].parse().expect("a length");
            let after = end + 2 + length;
            if buffer.get(after..after + 2)? != b"\r\n" {
                panic!("{line}: bad data chunk");
            }
            let value = buffer[end + 2..after].to_vec();
            let seconds = flag('T').parse().expect("seconds");
            (Command::Set { key, value, seconds, token: flag('O') }, after + 2)
        }
        _ => panic!("unknown command: {line}"),
    };
    buffer.drain(..length);
    Some(command)
}

/// The answer to a `Get`.
pub fn value(token: &str, value: Option<&[u8]>) -> Vec<u8> {
    match value {
        None => format!("EN O{token}\r\n").into_bytes(),
        Some(value) => [format!("VA {} O{token}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
    }
}

/// The answer to a `Set`.
pub fn stored(token: &str) -> Vec<u8> {
    format!("HD O{token}\r\n").into_bytes()
}

/// An answer that is an error.
pub fn error(text: &str) -> Vec<u8> {
    format!("{text}\r\n").into_bytes()
}

/// The answer with a length that is too large by a thousand; `None` if it does not answer a `Get`.
pub fn with_wrong_length(answer: &[u8]) -> Option<Vec<u8>> {
    let length = |kind: &[u8], wrong: &[u8]| Some([wrong, answer.strip_prefix(kind)?].concat());
    length(b"VA ", b"VA 100").or_else(|| length(b"EN ", b"VA 1000 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_once_it_is_complete() {
        let sent = b"mg uid:1 v O7\r\nms uid:2 3 T60 O8\r\n1.5\r\n";
        let mut buffer = Vec::new();
        let mut taken = Vec::new();
        for byte in sent {
            buffer.push(*byte);
            taken.extend(take_command(&mut buffer));
        }
        let [get, set] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!(*get, Command::Get { key: "uid:1".to_owned(), token: "7".to_owned() });
        let (key, value) = ("uid:2".to_owned(), b"1.5".to_vec());
        assert_eq!(*set, Command::Set { key, value, seconds: 60, token: "8".to_owned() });
        assert_eq!(with_wrong_length(b"VA 3 O1\r\n"), Some(b"VA 1003 O1\r\n".to_vec()));
        assert_eq!(with_wrong_length(b"EN O1\r\n"), Some(b"VA 1000 O1\r\n".to_vec()));
        assert_eq!(with_wrong_length(b"HD O1\r\n"), None);
    }
}
