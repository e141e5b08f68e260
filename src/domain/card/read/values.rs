//! Single values of a card's file, each with its rule.

use std::borrow::Cow;

use toml::de::DeValue;

use super::super::points::Points;
use super::super::when::{Argument, Condition};

/// The most characters of a version, a name or a reason code: they go into metrics, logs and answers.
const LONGEST: usize = 64;

/// A fault in words that follow the key.
pub(super) type Faulty = Cow<'static, str>;

/// A key of the file in one line, and not too long.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(LONGEST).flat_map(char::escape_debug).collect()
}

/// A text that can stand in a log, a metric and an answer.
pub(super) fn label(value: &DeValue<'_>) -> Result<String, Faulty> {
    let text = value.as_str().ok_or("must be a string")?;
    if text.is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {LONGEST} characters, and no control characters").into());
    }
    Ok(text.to_owned())
}

pub(super) fn points(value: &DeValue<'_>) -> Result<Points, Faulty> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => Ok(Points::parse(number.as_str())?),
        DeValue::Float(number) => Ok(Points::parse(number.as_str())?),
        DeValue::Integer(_)
        | DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Err("must be a number such as 12.5".into()),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Faulty> {
    value.as_bool().ok_or("must be true or false".into())
}

pub(super) fn integer(value: &DeValue<'_>, from: i64, to: i64) -> Result<i64, Faulty> {
    let problem = || Cow::from(format!("must be an integer from {from} to {to}"));
    let number = value.as_integer().ok_or_else(problem)?;
    let number = i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| problem())?;
    if (from..=to).contains(&number) { Ok(number) } else { Err(problem()) }
}

pub(super) fn gender(value: &DeValue<'_>) -> Result<Condition, Faulty> {
    let problem = "must be true, false, or a list of 0, 1 and 2 such as [1, 2]";
    if let Some(there) = value.as_bool() {
        return Ok(Condition::There(Argument::Gender, there));
    }
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or(problem)?;
    let mut genders = Vec::with_capacity(items.len());
    for item in items {
        let gender = integer(item.get_ref(), 0, 2).map_err(|_| problem)?;
        genders.push(u8::try_from(gender).unwrap_or_default());
    }
    genders.sort_unstable();
    genders.dedup();
    Ok(Condition::Gender(genders))
}

/// A text or a list of them, sorted, each once.
pub(super) fn texts(
    value: &DeValue<'_>,
    read: impl Fn(&str) -> Result<String, Faulty>,
) -> Result<Vec<String>, Faulty> {
    let one = |value: &DeValue<'_>| {
        value.as_str().ok_or("must be a string or a list of strings".into()).and_then(&read)
    };
    let mut texts = match value.as_array() {
        Some(items) if items.is_empty() => return Err("must not be empty".into()),
        Some(items) => items.iter().map(|item| one(item.get_ref())).collect::<Result<Vec<_>, _>>()?,
        None => vec![one(value)?],
    };
    texts.sort_unstable();
    texts.dedup();
    Ok(texts)
}

pub(super) fn phone_prefix(text: &str) -> Result<String, Faulty> {
    let is_prefix = (1..=11).contains(&text.len()) && text.starts_with('7');
    if is_prefix && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 11 digits, the first a 7, as every phone".into())
}

pub(super) fn email_domain(text: &str) -> Result<String, Faulty> {
    if text.is_empty() || text.contains('@') || text.len() > 255 {
        return Err("must be the part of an email behind its @, such as example.com".into());
    }
    Ok(text.to_ascii_lowercase())
}
