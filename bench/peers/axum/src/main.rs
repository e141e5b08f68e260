//! The contract in the usual style of axum: one handler on tokio's multi-threaded runtime, redis-rs' connection manager, and a
//! line of JSON for each call by tracing.
//!
//! Checks, digest and formula are the service's own, so that only the design differs. It has both methods and the log, but no
//! metrics, near cache, limits on calls in flight or health checks, and takes a list under a key for a missing value.
//!
//! `PORT`, `WORKERS` and `REDIS_URL` come from the environment.

#![expect(
    clippy::disallowed_types,
    reason = "most users of redis-rs choose its connection manager, which reconnects by itself"
)]

use std::{
    env,
    error::Error,
    io::{self, IsTerminal as _},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json as JsonBody, Router,
    body::{Body, HttpBody as _, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt as _,
};
use chrono::{NaiveDate, Utc};
use redis::{
    AsyncCommands as _, Client, RedisError, SetExpiry, SetOptions,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use scoring_api::domain::{
    Answer, AuthPolicy, Authenticator, CallError, Caller, Card, ClientsInterests, Defect, InterestsByClient,
    Json, Method, MethodRequest, OnlineScore, Outage, Rules, Score, is_request_id,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tracing::info;

const BODY_LIMIT: usize = 256 * 1024;
const MAX_CLIENT_IDS: usize = 10_000;
const TTL_SECONDS: u64 = 3600;
const CACHE_TIMEOUT: Duration = Duration::from_millis(100);
const STORE_TIMEOUT: Duration = Duration::from_millis(150);
const STORE_ATTEMPTS: u64 = 3;
const STORE_DEADLINE: Duration = Duration::from_millis(600);
const X_REQUEST_ID: &str = "x-request-id";

/// State of the handlers.
#[derive(Clone)]
struct App {
    authenticator: Arc<Authenticator>,
    card: Arc<Card>,
    cache: ConnectionManager,
    store: ConnectionManager,
}

/// Fields of a call's log line, as far as the call came.
#[derive(Default)]
struct Context {
    account: Option<String>,
    method: Option<&'static str>,
    nclients: Option<usize>,
}

/// An answer other than 200.
enum Failure {
    Call(CallError),
    Http(StatusCode),
}

#[derive(Serialize)]
struct FailureBody {
    code: u16,
    error: String,
}

/// The same as the service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let workers = env::var("WORKERS")?.parse()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (writer, _guard) = tracing_appender::non_blocking(io::stdout());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_ansi(io::stdout().is_terminal())
        .with_writer(writer)
        .init();
    let port: u16 = env::var("PORT")?.parse()?;
    let policy = AuthPolicy::public();
    let client = Client::open(env::var("REDIS_URL")?)?;
    let connect = async |limit: Duration| {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(limit))
            .set_connection_timeout(Some(STORE_TIMEOUT));
        ConnectionManager::new_with_config(client.clone(), config).await
    };
    let app = App {
        authenticator: Arc::new(Authenticator::new(policy)?),
        card: Card::built_in(),
        cache: connect(CACHE_TIMEOUT).await?,
        store: connect(STORE_TIMEOUT).await?,
    };
    let router = Router::new()
        .route("/method", post(method))
        .route("/method/", post(method))
        .fallback(async || Failure::Http(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Failure::Http(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(app);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    axum::serve(listener, router).await?;
    Ok(())
}

async fn method(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let begun = Instant::now();
    let mut context = Context::default();
    let mut response = app.call(body, &mut context).await.into_response();
    let id = request_id(&headers);
    info!(
        account = context.account,
        method = context.method,
        nclients = context.nclients,
        request_id = id.to_str().unwrap_or_default(),
        code = response.status().as_u16(),
        duration = begun.elapsed().as_secs_f64(),
        "call"
    );
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// The caller's id if it is valid, otherwise a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(X_REQUEST_ID).filter(|id| is_request_id(id.as_bytes()));
    given.cloned().unwrap_or_else(|| {
        let id = format!("{:032x}", fastrand::u128(..));
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

// ===== impl App =====

impl App {
    #[expect(clippy::disallowed_methods, reason = "the hour of an admin's token goes by the wall clock")]
    async fn call(&self, body: Body, context: &mut Context) -> Result<Response, Failure> {
        if body.size_hint().lower() > BODY_LIMIT as u64 {
            return Err(Failure::Http(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let body = to_bytes(body, BODY_LIMIT).await;
        let body = body.map_err(|_| Failure::Http(StatusCode::PAYLOAD_TOO_LARGE))?;
        let request = MethodRequest::from_json(Json::parse(&body)?)?;
        context.account = Some(request.account.chars().take(64).collect());
        let now = Utc::now();
        let caller = self.authenticator.check(&request, now)?;
        let today = self.authenticator.today(now);
        let rules = Rules { today, max_client_ids: MAX_CLIENT_IDS, explain: false };
        let method = Method::from_name(&request.method)?;
        let answer = match method {
            Method::OnlineScore => {
                context.method = Some("online_score");
                let person = OnlineScore::parse(request.arguments, &rules)?;
                if caller == Caller::Admin { Answer::AdminScore } else { self.score(&person, today).await }
            }
            Method::ClientsInterests => {
                context.method = Some("clients_interests");
                context.nclients = ClientsInterests::nclients(&request.arguments);
                let call = ClientsInterests::parse(request.arguments, &rules)?;
                self.interests(&call).await?
            }
        };
        let mut json = br#"{"code":200,"response":"#.to_vec();
        answer.write_json(&mut json);
        json.push(b'}');
        Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
    }

    async fn score(&self, person: &OnlineScore, today: NaiveDate) -> Answer {
        let key = self.card.cache_key(person, today);
        let mut cache = self.cache.clone();
        let cached: Option<Vec<u8>> = cache.get(&key).await.unwrap_or_default();
        if let Some(score) = cached.as_deref().and_then(Score::from_cached) {
            return Answer::Score(score);
        }
        let score = self.card.score(person, today);
        // The call does not wait for the write, as in the service.
        tokio::spawn(async move {
            let expires = SetOptions::default().with_expiration(SetExpiry::EX(TTL_SECONDS));
            _ = cache.set_options::<_, _, ()>(key, score.to_cached(), expires).await;
        });
        Answer::Score(score)
    }

    async fn interests(&self, call: &ClientsInterests) -> Result<Answer, CallError> {
        let ids = call.unique_clients();
        let keys: Vec<_> = ids.iter().map(|id| id.key()).collect();
        let stored = timeout(STORE_DEADLINE, self.read(&keys)).await;
        let unavailable = || CallError::Unavailable(Outage::StoreDown);
        let stored = stored.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
        let interests = InterestsByClient::from_stored(&ids, &stored)
            .map_err(|_| CallError::Internal(Defect::MalformedValue))?;
        Ok(Answer::Interests(interests))
    }

    /// Reads the keys, with retries after a random wait.
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, RedisError> {
        let mut attempt = 1;
        loop {
            match self.store.clone().mget(keys).await {
                Err(_) if attempt < STORE_ATTEMPTS => {
                    sleep(Duration::from_millis(fastrand::u64(..=10 * attempt))).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

// ===== impl Failure =====

impl<E: Into<CallError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Http(status) => (status, status.canonical_reason().unwrap_or("error").to_owned()),
            Self::Call(error) => (status(&error), error.to_string()),
        };
        let body = JsonBody(FailureBody { code: status.as_u16(), error });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (status, body).into_response()
    }
}

fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::BadRequest(_) => StatusCode::BAD_REQUEST,
        CallError::Forbidden(_) => StatusCode::FORBIDDEN,
        CallError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CallError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        CallError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        CallError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
