//! The position of a call in its trace: the W3C trace context, as spans carry it.
//!
//! A leaf like [`units`](crate::units), so that http may read a caller's context and actors may pass one on.
//! `telemetry` decides whether spans are exported. If not, there are no spans, and this code costs next to nothing.

use std::fmt;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A valid context of a span, of this process or another one, that can be the parent of spans here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// The context in a `traceparent` header; `None` unless it is valid according to
    /// <https://www.w3.org/TR/trace-context/>.
    ///
    /// `tracestate` is ignored: this service calls no other service, so it has no receiver for it.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        if !header.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut fields = header.split('-');
        let [version, trace, span, flags] =
            [(2, fields.next()), (32, fields.next()), (16, fields.next()), (2, fields.next())]
                .map(|(digits, field)| field.filter(|field| is_hex(field, digits)));
        // Later versions may have more fields, but this version has not. `ff` is not a version.
        if version? == "ff" || (version? == "00" && fields.next().is_some()) {
            return None;
        }
        let context = SpanContext::new(
            TraceId::from_hex(trace?).ok()?,
            SpanId::from_hex(span?).ok()?,
            TraceFlags::new(u8::from_str_radix(flags?, 16).ok()?) & TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        context.is_valid().then_some(Self(context))
    }

    /// The context of `span`; `None` if the span is not exported.
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context().span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }

    /// Whether the trace is exported.
    pub fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    /// Makes `span`, which must not have been entered yet, a child of this one.
    ///
    /// Unlike a parent inside the process, this one is not kept open by its children.
    pub fn adopt(&self, span: &Span) {
        // Fails if the span is not exported.
        _ = span.set_parent(Context::new().with_remote_span_context(self.0.clone()));
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        self.0.trace_id()
    }
}

/// Upper case is not allowed.
fn is_hex(field: &str, digits: usize) -> bool {
    field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[rstest]
    #[case::sampled("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)]
    #[case::not_sampled("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false)]
    #[case::unknown_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true)]
    #[case::later_version("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true)]
    fn a_traceparent_is_taken(#[case] header: &str, #[case] sampled: bool) {
        let context = TraceContext::from_traceparent(header).unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.0.is_sampled(), sampled);
        assert!(context.0.is_remote());
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331")]
    #[case::more_than_version_00_has("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")]
    #[case::version_ff("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    #[case::upper_case("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")]
    #[case::no_trace("00-00000000000000000000000000000000-b7ad6b7169203331-01")]
    #[case::no_span("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")]
    #[case::short_trace("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01")]
    #[case::line_feed_in_a_later_version("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\n")]
    #[case::signs("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1")]
    fn an_invalid_traceparent_is_ignored(#[case] header: &str) {
        assert_eq!(TraceContext::from_traceparent(header), None);
    }

    #[test]
    fn a_span_without_a_subscriber_has_no_context() {
        assert_eq!(TraceContext::of(&Span::none()), None);
        assert_eq!(TraceContext::of(&tracing::info_span!("unseen")), None);
    }
}
