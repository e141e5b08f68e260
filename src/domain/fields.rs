//! Reading one JSON object by a table of fields.
//!
//! A request is declared as in the contract, by a table ([`request!`]). One pass over the table finds every fault, in
//! the table's order: a client with three faults gets all three at once.

use std::borrow::Cow;
use std::fmt;

use super::json::{Json, Object};
use super::redacted::Redacted;

/// A field's fault, in words that follow its name: `must be a string`. Never quotes the value.
pub type Reason = Cow<'static, str>;

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The field's name in the protocol.
    pub field: &'static str,
    /// The fault.
    pub reason: Reason,
}

/// Every fault of a request, in the order of its table. Displays as `phone: is required; email: must be a string`.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<FieldFault>);

/// A type that a field can have, read in a context `C` (such as today's date).
///
/// Types that need no context are fields in every context.
pub(super) trait Field<C>: Sized {
    /// Whether `raw` counts as empty: null does, and `""` where the field is a string.
    fn is_empty(raw: &Json) -> bool {
        *raw == Json::Null
    }

    /// Reads a value that is not empty.
    fn parse(raw: Json, context: &C) -> Result<Self, Reason>;
}

/// For [`Field::is_empty`] of fields that are strings.
pub(super) fn is_empty_string(raw: &Json) -> bool {
    *raw == Json::Null || matches!(raw, Json::String(text) if text.is_empty())
}

/// The number of fields in the longest table.
const MOST_FIELDS: usize = 6;

/// An object that is being read, and its faults so far.
pub(super) struct Form<'a, C> {
    object: Object,
    context: &'a C,
    filled: Vec<&'static str>,
    faults: Faults,
}

/// Implemented by [`request!`] for each table.
pub(super) trait Table<C>: Sized {
    /// `None` if the form has found a fault.
    fn read(form: &mut Form<'_, C>) -> Option<Self>;
}

/// Declares a request: a struct, and the [`Table`] that fills it from a [`Form`].
///
/// The columns are the contract's: the field, its type, whether it is `required` or `optional`, whether it is
/// `nullable` or must be `filled`, and its rule. Absent optional fields and empty nullable ones get their type's
/// default.
macro_rules! request {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $( $field:ident: $type:ty, $presence:ident, $emptiness:ident, $rule:literal; )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( #[doc = $rule] pub $field: $type, )*
        }

        impl $name {
            /// The names of all fields, in the order of the table.
            pub const FIELDS: &'static [&'static str] = &[$( stringify!($field) ),*];
        }

        impl<C> $crate::domain::fields::Table<C> for $name
        where
            $( $type: $crate::domain::fields::Field<C>, )*
        {
            fn read(form: &mut $crate::domain::fields::Form<'_, C>) -> Option<Self> {
                use $crate::domain::fields::column::*;
                // Every field is read before the first `?`, so that each can report its fault.
                $( let $field = form.take(stringify!($field), $presence(), $emptiness()); )*
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
}
pub(super) use request;

/// The words in the columns of a [`request!`] table. Each gives the replacement of a value: a default, or a fault.
pub(super) mod column {
    pub(in crate::domain) fn optional<T: Default>() -> Option<T> {
        Some(T::default())
    }

    pub(in crate::domain) fn required<T>() -> Option<T> {
        None
    }

    pub(in crate::domain) fn nullable<T: Default>() -> Option<T> {
        Some(T::default())
    }

    pub(in crate::domain) fn filled<T>() -> Option<T> {
        None
    }
}

// ===== impl Form =====

impl<'a, C> Form<'a, C> {
    pub(super) fn new(object: Object, context: &'a C) -> Self {
        Self { object, context, filled: Vec::with_capacity(MOST_FIELDS), faults: Faults::default() }
    }

    /// Takes one field out of the object. `None` means that a fault has been added.
    pub(super) fn take<T: Field<C>>(
        &mut self,
        name: &'static str,
        if_absent: Option<T>,
        if_empty: Option<T>,
    ) -> Option<T> {
        let value = match self.object.remove(name) {
            None => if_absent.ok_or(Reason::Borrowed("is required")),
            Some(raw) if T::is_empty(&raw) => if_empty.ok_or(Reason::Borrowed("must not be empty")),
            Some(raw) => {
                self.filled.push(name);
                T::parse(raw, self.context)
            }
        };
        value.map_err(|reason| self.add_fault(name, reason)).ok()
    }

    /// The fields that have been taken and were not empty, valid or not, in the order of the table.
    pub(super) fn filled(&self) -> &[&'static str] {
        &self.filled
    }

    /// Adds a fault that involves more than one field.
    pub(super) fn add_fault(&mut self, field: &'static str, reason: impl Into<Reason>) {
        self.faults.0.push(FieldFault { field, reason: reason.into() });
    }

    /// The request, unless there was a fault.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Faults> {
        read.filter(|_| self.faults.0.is_empty()).ok_or(self.faults)
    }
}

// ===== impl Faults =====

impl Faults {
    /// A single fault.
    pub fn one(field: &'static str, reason: impl Into<Reason>) -> Self {
        Self(vec![FieldFault { field, reason: reason.into() }])
    }

    /// The faults in the order of the request's table.
    pub fn iter(&self) -> impl Iterator<Item = &FieldFault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldFault { field, reason }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {reason}")?;
        }
        Ok(())
    }
}

// ===== fields of plain types =====

impl<C> Field<C> for String {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, _: &C) -> Result<Self, Reason> {
        let Json::String(text) = raw else {
            return Err("must be a string".into());
        };
        Ok(text)
    }
}

impl<C> Field<C> for Object {
    fn parse(raw: Json, _: &C) -> Result<Self, Reason> {
        let Json::Object(object) = raw else {
            return Err("must be an object".into());
        };
        Ok(object)
    }
}

impl<C, T: Field<C>> Field<C> for Option<T> {
    fn is_empty(raw: &Json) -> bool {
        T::is_empty(raw)
    }

    fn parse(raw: Json, context: &C) -> Result<Self, Reason> {
        T::parse(raw, context).map(Some)
    }
}

impl<C, T: Field<C>> Field<C> for Redacted<T> {
    fn is_empty(raw: &Json) -> bool {
        T::is_empty(raw)
    }

    fn parse(raw: Json, context: &C) -> Result<Self, Reason> {
        T::parse(raw, context).map(Self::new)
    }
}
