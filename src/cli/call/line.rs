//! One line of a batch: `{"method": "online_score", "arguments": {…}}`, with `account` and `login` where they differ.
//!
//! Parsed with the service's own strict JSON, so that a misspelt or repeated field is a mistake; the arguments are
//! then sent unchanged. A fault shows only names of fields from the line.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    cli::{
        line_fault::LineFault,
        lines::{self, BadObject},
    },
    client::{self, Call, Identity},
    domain::{Json, Method, Object},
};

/// The fields of a line.
const KNOWN_FIELDS: &str = "account, login, method and arguments";

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    arguments: &'a RawValue,
}

/// The fields of a line.
pub(in crate::cli) struct Fields {
    account: Option<String>,
    pub(in crate::cli) login: Option<String>,
    pub(in crate::cli) method: Method,
    /// Any JSON: the service checks them.
    pub(in crate::cli) arguments: Json,
}

/// Reads the fields of `line`.
pub(in crate::cli) fn fields(line: &str) -> Result<Fields, LineFault> {
    let mut object = lines::object(line)?;
    let method = text(&mut object, "method")?.ok_or(LineFault::Missing("method"))?;
    let method = Method::from_name(&method).map_err(|_| LineFault::Method)?;
    let (account, login) = (text(&mut object, "account")?, text(&mut object, "login")?);
    let arguments = object.remove("arguments").ok_or(LineFault::Missing("arguments"))?;
    if !object.is_empty() {
        return Err(LineFault::UnknownField(KNOWN_FIELDS));
    }
    Ok(Fields { account, login, method, arguments })
}

/// The call of `line`, by `default` if it does not name a login.
pub(super) fn parse(line: &str, default: Option<&Identity>) -> Result<Call, LineFault> {
    let Fields { account, login, method, arguments: _ } = fields(line)?;
    let identity = match (login, default) {
        (Some(login), _) => Identity { account: account.unwrap_or_default(), login },
        (None, Some(default)) => Identity {
            account: account.unwrap_or_else(|| default.account.clone()),
            login: default.login.clone(),
        },
        (None, None) => return Err(LineFault::NoLogin),
    };
    // A text that our own parser accepted is valid here as well.
    let Arguments { arguments } =
        serde_json::from_str(line).map_err(|error| BadObject::Syntax { column: error.column() })?;
    let method = match method {
        Method::OnlineScore => client::Method::OnlineScore,
        Method::ClientsInterests => client::Method::ClientsInterests,
    };
    Ok(Call::raw(identity, method, arguments.to_owned()))
}

fn text(object: &mut Object, field: &'static str) -> Result<Option<String>, LineFault> {
    match object.remove(field) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(
            Json::Null
            | Json::Bool(_)
            | Json::Integer(_)
            | Json::OtherNumber
            | Json::Array(_)
            | Json::Object(_),
        ) => Err(LineFault::NotAString(field)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn parsed(line: &str) -> Result<Call, LineFault> {
        parse(line, Some(&Identity::new("A", "L")))
    }

    #[rstest]
    #[case::as_given(r#"{"method":"online_score","arguments":{"phone":1}}"#)]
    #[case::own_login(r#"{"login":"X","method":"clients_interests","arguments":{"client_ids":[]}}"#)]
    #[case::own_account(r#"{"account":"X","method":"clients_interests","arguments":{}}"#)]
    #[case::arguments_are_the_services_to_judge(r#"{"method":"online_score","arguments":[1.0,null]}"#)]
    fn reads(#[case] line: &str) {
        parsed(line).unwrap();
    }

    #[rstest]
    #[case::no_json("phone: 7999", BadObject::Syntax { column: 1 }.into())]
    #[case::no_object("[1]", BadObject::NotAnObject.into())]
    #[case::twice(r#"{"method":"online_score","method":"online_score","arguments":{}}"#, BadObject::RepeatedField { column: 33 }.into())]
    #[case::twice_inside(r#"{"method":"online_score","arguments":{"a":1,"a":1}}"#, BadObject::RepeatedField { column: 47 }.into())]
    #[case::misspelt(
        r#"{"method":"online_score","argument":{},"arguments":{}}"#,
        LineFault::UnknownField(KNOWN_FIELDS)
    )]
    #[case::no_method(r#"{"arguments":{}}"#, LineFault::Missing("method"))]
    #[case::other_method(r#"{"method":"score","arguments":{}}"#, LineFault::Method)]
    #[case::method_no_string(r#"{"method":1,"arguments":{}}"#, LineFault::NotAString("method"))]
    #[case::login_null(
        r#"{"login":null,"method":"online_score","arguments":{}}"#,
        LineFault::NotAString("login")
    )]
    #[case::no_arguments(r#"{"method":"online_score"}"#, LineFault::Missing("arguments"))]
    fn refuses(#[case] line: &str, #[case] fault: LineFault) {
        assert_eq!(parsed(line).unwrap_err(), fault);
    }

    #[test]
    fn a_line_needs_a_login_of_its_own_where_there_is_no_other() {
        let fault = parse(r#"{"method":"online_score","arguments":{}}"#, None).unwrap_err();
        assert_eq!(fault, LineFault::NoLogin);
        parse(r#"{"login":"L","method":"online_score","arguments":{}}"#, None).unwrap();
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_never_quoted(line in "\\PC*") {
            let marked = format!("{line}SECRET");
            if let Err(fault) = parsed(&marked) {
                prop_assert!(!fault.to_string().contains("SECRET"));
            }
        }
    }
}
