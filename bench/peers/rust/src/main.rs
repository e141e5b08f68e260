//! Rust contenders of the benchmark: plain actix-web handlers, without actors, log or metrics.
//!
//! - `floor` answers a fixed body,
//! - `pure` runs the service's own checks and computes the score,
//! - `direct` also asks Redis for the score, straight from the handler.
//!
//! `PORT`, `WORKERS` and `REDIS_URL` come from the environment.

use std::{env, error::Error, io, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::StatusCode,
    web::{self, Bytes, Data, PayloadConfig, ServiceConfig},
};
use chrono::{NaiveDate, Utc};
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, SetExpiry, SetOptions,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use scoring_api::domain::{
    Answer, AuthPolicy, Authenticator, CallError, Caller, Card, Json, Method, MethodRequest, OnlineScore,
    Outage, Rules, Score,
};
use serde::Serialize;

const BODY_LIMIT: usize = 256 * 1024;
const TTL_SECONDS: u64 = 3600;
const CACHE_TIMEOUT: Duration = Duration::from_millis(100);

/// A call of `online_score` that passed all checks; the admin's needs no more.
enum Checked {
    Admin,
    Person(OnlineScore, NaiveDate),
}

#[derive(Serialize)]
struct Failure {
    code: u16,
    error: String,
}

/// The same as the service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let routes = match env::args().nth(1).as_deref() {
        Some("floor") => floor_routes,
        Some("pure") => pure_routes,
        Some("direct") => direct_routes,
        _ => return Err("usage: peer floor|pure|direct".into()),
    };
    let port: u16 = env::var("PORT")?.parse()?;
    let workers: usize = env::var("WORKERS")?.parse()?;
    let url = env::var("REDIS_URL")?;
    let policy = AuthPolicy::public();
    let authenticator = Data::from(Arc::new(Authenticator::new(policy)?));
    HttpServer::new(move || {
        let url = url.clone();
        App::new()
            .app_data(authenticator.clone())
            .app_data(PayloadConfig::new(BODY_LIMIT))
            .data_factory(move || connect(url.clone()))
            .configure(routes)
    })
    .workers(workers)
    .bind(("127.0.0.1", port))?
    .run()
    .await?;
    Ok(())
}

/// Opens one connection for each worker.
async fn connect(url: String) -> Result<MultiplexedConnection, io::Error> {
    let info = url.into_connection_info().map_err(io::Error::other)?;
    let info = match info.addr() {
        ConnectionAddr::Tcp(..) => info.set_tcp_settings(TcpSettings::default().set_nodelay(true)),
        _ => info,
    };
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(CACHE_TIMEOUT));
    let client = Client::open(info).map_err(io::Error::other)?;
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(io::Error::other)
}

fn floor_routes(config: &mut ServiceConfig) {
    config.route("/method", web::post().to(floor));
}

fn pure_routes(config: &mut ServiceConfig) {
    config.route("/method", web::post().to(pure));
}

fn direct_routes(config: &mut ServiceConfig) {
    config.route("/method", web::post().to(direct));
}

async fn floor(_body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"code":200,"response":{"score":5.0}}"#)
}

async fn pure(body: Bytes, authenticator: Data<Authenticator>) -> HttpResponse {
    respond(check(&body, &authenticator).map(|checked| match checked {
        Checked::Admin => Answer::AdminScore,
        Checked::Person(person, today) => Answer::Score(Card::built_in().score(&person, today)),
    }))
}

async fn direct(
    body: Bytes,
    authenticator: Data<Authenticator>,
    redis: Data<MultiplexedConnection>,
) -> HttpResponse {
    let (person, today) = match check(&body, &authenticator) {
        Ok(Checked::Person(person, today)) => (person, today),
        Ok(Checked::Admin) => return respond(Ok(Answer::AdminScore)),
        Err(refused) => return respond(Err(refused)),
    };
    let mut redis = redis.get_ref().clone();
    let card = Card::built_in();
    let key = card.cache_key(&person, today);
    let cached: Option<Vec<u8>> = redis.get(&key).await.unwrap_or_default();
    if let Some(score) = cached.as_deref().and_then(Score::from_cached) {
        return respond(Ok(Answer::Score(score)));
    }
    let score = card.score(&person, today);
    // The call does not wait for the write, as in the service.
    actix_web::rt::spawn(async move {
        let expires = SetOptions::default().with_expiration(SetExpiry::EX(TTL_SECONDS));
        _ = redis.set_options::<_, _, ()>(key, score.to_cached(), expires).await;
    });
    respond(Ok(Answer::Score(score)))
}

/// The service's checks, in the same order.
#[expect(clippy::disallowed_methods, reason = "the hour of an admin's token goes by the wall clock")]
fn check(body: &[u8], authenticator: &Authenticator) -> Result<Checked, CallError> {
    let request = MethodRequest::from_json(Json::parse(body)?)?;
    let now = Utc::now();
    let caller = authenticator.check(&request, now)?;
    let rules = Rules { today: authenticator.today(now), max_client_ids: 0, explain: false };
    match Method::from_name(&request.method)? {
        Method::OnlineScore => {
            let person = OnlineScore::parse(request.arguments, &rules)?;
            Ok(if caller == Caller::Admin { Checked::Admin } else { Checked::Person(person, rules.today) })
        }
        // The Rust contenders do not have this method.
        Method::ClientsInterests => Err(CallError::Unavailable(Outage::StoreDown)),
    }
}

fn respond(outcome: Result<Answer, CallError>) -> HttpResponse {
    let error = match outcome {
        Ok(answer) => {
            let mut body = br#"{"code":200,"response":"#.to_vec();
            answer.write_json(&mut body);
            body.push(b'}');
            return HttpResponse::Ok().content_type("application/json").body(body);
        }
        Err(error) => error,
    };
    let status = match error {
        CallError::BadRequest(_) => StatusCode::BAD_REQUEST,
        CallError::Forbidden(_) => StatusCode::FORBIDDEN,
        CallError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CallError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        CallError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        CallError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    HttpResponse::build(status).json(Failure { code: status.as_u16(), error: error.to_string() })
}
