//! The server's side of RESP2: commands in, replies out.

/// Takes one command off the front of `buffer`, if it is complete. A client sends only arrays of bulk strings.
pub fn take_command(buffer: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let mut at = 0;
    let count = length(buffer, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let bytes = length(buffer, &mut at, b'$')?;
        words.push(buffer.get(at..at + bytes)?.to_vec());
        buffer.get(at + bytes..at + bytes + 2)?;
        at += bytes + 2;
    }
    buffer.drain(..at);
    Some(words)
}

fn length(buffer: &[u8], at: &mut usize, sign: u8) -> Option<usize> {
    let rest = buffer.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(rest[0], sign, "a client of the service sends nothing else");
    *at += end + 2;
    std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()
}

/// A line of text.
pub fn simple(text: &str) -> Vec<u8> {
    format!("+{text}\r\n").into_bytes()
}

/// An answer that is an error.
pub fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

/// A number.
pub fn integer(number: usize) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

/// A bulk string, or nothing.
pub fn bulk(value: Option<&[u8]>) -> Vec<u8> {
    match value {
        None => b"$-1\r\n".to_vec(),
        Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
    }
}

/// Several values.
pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
}

/// The reply with a wrong first length or count; `None` without one.
pub fn with_wrong_length(reply: &[u8]) -> Option<Vec<u8>> {
    if reply == b"$-1\r\n" {
        return Some(b"$1000\r\n".to_vec());
    }
    let mut lines = 0;
    while let Some(end) = reply[lines..].windows(2).position(|pair| pair == b"\r\n") {
        let line = &reply[lines..lines + end];
        if line.len() > 1 && matches!(line[0], b'$' | b'*') && line[1].is_ascii_digit() && line[1] != b'0' {
            return Some([&reply[..=lines], b"100".as_slice(), &reply[lines + 1..]].concat());
        }
        lines += end + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_once_it_is_complete() {
        let sent = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n";
        let mut buffer = Vec::new();
        let mut taken = Vec::new();
        for byte in sent {
            buffer.push(*byte);
            taken.extend(take_command(&mut buffer));
        }
        assert_eq!(taken, [vec![b"GET".to_vec(), b"a".to_vec()], vec![b"PING".to_vec()]]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_length_is_made_wrong() {
        assert_eq!(with_wrong_length(b"$9\r\nnine chars"), Some(b"$1009\r\nnine chars".to_vec()));
        assert_eq!(with_wrong_length(b"*2\r\n$-1\r\n:1\r\n"), Some(b"*1002\r\n$-1\r\n:1\r\n".to_vec()));
        assert_eq!(with_wrong_length(b"+OK\r\n"), None);
        assert_eq!(with_wrong_length(b"$-1\r\n"), Some(b"$1000\r\n".to_vec()));
    }
}
