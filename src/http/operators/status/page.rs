//! The page at `/`, its files, `/status.json` and `/runbook`.

use actix_web::{HttpResponse, web};
use bytes::Bytes;

use super::runbook as book;
use crate::http::operators::{
    AdminPlan,
    files::{HTML, JSON, SCRIPT, STYLE, watched},
};

pub(in super::super) async fn page(plan: web::Data<AdminPlan>) -> HttpResponse {
    answer(HTML, plan.status.page())
}

pub(in super::super) async fn json(plan: web::Data<AdminPlan>) -> HttpResponse {
    answer(JSON, plan.status.json())
}

pub(in super::super) async fn script() -> HttpResponse {
    watched(SCRIPT, include_str!("page/page.js"))
}

pub(in super::super) async fn style() -> HttpResponse {
    watched(STYLE, include_str!("page/page.css"))
}

pub(in super::super) async fn runbook() -> HttpResponse {
    watched(HTML, book::page())
}

fn answer(kind: &'static str, body: serde_json::Result<Bytes>) -> HttpResponse {
    match body {
        Ok(body) => watched(kind, body),
        Err(error) => {
            tracing::error!(%error, "the status cannot be encoded");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
mod tests {
    /// The page is meant to be small: its script has no library.
    #[test]
    fn the_script_has_less_than_12_kib_and_never_makes_markup_of_data() {
        let script = include_str!("page/page.js");
        assert!(script.len() < 12 << 10, "{}", script.len());
        for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
