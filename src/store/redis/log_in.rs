//! The log-in: each step is verified by its exact answer.
//!
//! After a rejected step the connection has another user, or another database, and every later answer looks right. So
//! a connection is used only if `AUTH` and `SELECT` were answered `+OK`, and `PING` was answered `+PONG`.

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use super::{connection::Commands, errors::cannot_save};
use crate::store::{
    BackendError, Step,
    url::{RedisAddress, RedisTarget},
};

/// Logs in and selects the database, in one round trip, and verifies that the server answers, by `deadline`.
pub(super) async fn log_in(
    commands: &Commands,
    target: &RedisTarget,
    password: Option<&SecretString>,
    deadline: Instant,
) -> Result<(), (Step, BackendError)> {
    let answers = steps(target, password).into_iter().map(|(step, command)| async move {
        let answer = timeout_at(deadline, verified(commands, step, command)).await;
        (step, answer.unwrap_or(Err(BackendError::TimedOut)))
    });
    let mut hung_up = false;
    let mut failed = None;
    for (step, answer) in join_all(answers).await {
        match answer {
            Ok(()) => {}
            Err(error) if step == Step::Ping && cannot_save(&error) => {}
            Err(error) => {
                hung_up = matches!(error, BackendError::Disconnected(_));
                failed = failed.or(Some((step, error)));
            }
        }
    }
    match failed {
        None => Ok(()),
        // An error that closes the connection is not about the step: the server had not read it.
        Some((_, error @ BackendError::Refused { .. })) if hung_up => Err((Step::Greeting, error)),
        Some(failed) => Err(failed),
    }
}

fn steps(target: &RedisTarget, password: Option<&SecretString>) -> Vec<(Step, Cmd)> {
    let mut steps = Vec::new();
    if let Some(password) = password {
        let mut auth = cmd("AUTH");
        if let Some(username) = &target.username {
            auth.arg(username);
        }
        auth.arg(password.expose_secret());
        steps.push((Step::Auth, auth));
    }
    if target.database != 0 {
        steps.push((Step::Select, cmd("SELECT").arg(target.database).take()));
    }
    if matches!(target.address, RedisAddress::Sentinel { .. }) {
        steps.push((Step::Role, cmd("ROLE")));
    }
    steps.push((Step::Ping, cmd("PING")));
    steps
}

async fn verified(commands: &Commands, step: Step, command: Cmd) -> Result<(), BackendError> {
    match step {
        Step::Ping => commands.run_for(command, &Value::SimpleString("PONG".to_owned())).await,
        Step::Role => match commands.run::<Vec<Value>>(command).await?.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            Some(Value::BulkString(role)) if role == b"slave" => Err(BackendError::ReadOnly),
            Some(_) | None => Err(BackendError::Protocol),
        },
        Step::Open | Step::Tls | Step::Greeting | Step::Auth | Step::Select | Step::Write | Step::Call => {
            commands.run_for(command, &Value::Okay).await
        }
    }
}

#[cfg(test)]
mod tests;
