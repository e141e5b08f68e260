//! The RESP wire format, as far as a small server needs it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Reads one command, an array of bulk strings. `None` when the client has closed.
pub(super) async fn read_command(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(count) = read_length(from, '*').await? else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    for _ in 0..count {
        let length = read_length(from, '$').await?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut part = vec![0; length + 2];
        from.read_exact(&mut part).await?;
        part.truncate(length);
        parts.push(part);
    }
    Ok(Some(parts))
}

async fn read_length(from: &mut (impl AsyncBufRead + Unpin), sign: char) -> Result<Option<usize>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    match line.trim_end().strip_prefix(sign).and_then(|length| length.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => {
            Err(Error::new(ErrorKind::InvalidData, format!("{line:?} where {sign:?} and a length belong")))
        }
    }
}

/// A reply that both RESP versions write alike.
pub(super) fn simple(text: &str) -> Vec<u8> {
    format!("+{text}\r\n").into()
}

/// An error; `text` starts with its code.
pub(super) fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into()
}

/// An integer.
pub(super) fn integer(n: usize) -> Vec<u8> {
    format!(":{n}\r\n").into()
}

/// A bulk string, or the null of the protocol version that the connection speaks.
pub(super) fn bulk(value: Option<&[u8]>, protocol: u8) -> Vec<u8> {
    match value {
        Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
        None if protocol == 3 => b"_\r\n".to_vec(),
        None => b"$-1\r\n".to_vec(),
    }
}

/// An array of replies.
pub(super) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
}

/// A map, which RESP2 writes as an array of keys and values in turn.
pub(super) fn map(pairs: &[(&str, Vec<u8>)], protocol: u8) -> Vec<u8> {
    let items =
        pairs.iter().map(|(key, value)| [bulk(Some(key.as_bytes()), protocol), value.clone()].concat());
    let head =
        if protocol == 3 { format!("%{}\r\n", pairs.len()) } else { format!("*{}\r\n", 2 * pairs.len()) };
    [head.into_bytes(), items.collect::<Vec<_>>().concat()].concat()
}
