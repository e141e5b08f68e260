//! Asks for many scores at a time: `batch URL`, with a line `PHONE EMAIL` for each person on standard input. Prints the scores in the
//! order of the lines, and a failed call as its error. Signs as `score` does.

#![allow(clippy::print_stdout, reason = "it prints")]

use std::{env, error::Error, io};

use futures_util::{StreamExt, stream};
use scoring_client::{Client, Credentials, Identity, Person, Policy};

/// Calls at a time. The client keeps a connection for each.
const CONCURRENCY: usize = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: batch URL < PERSONS")?;
    let credentials = match env::var("SCORING_TOKEN") {
        Ok(token) => Credentials::token("acme", "shop", token),
        Err(_) => Credentials::salt("Otus"),
    };
    let client = Client::new(url.parse()?, credentials, Policy::default())?;
    let acme = Identity::new("acme", "shop");
    let lines = io::stdin().lines().collect::<Result<Vec<_>, _>>()?;
    let calls = lines.iter().map(|line| {
        let (phone, email) = line.split_once(' ').unwrap_or((line, ""));
        let person = Person { phone: Some(phone.into()), email: Some(email.into()), ..Person::default() };
        let (client, acme) = (&client, &acme);
        async move { client.online_score(acme, &person).await }
    });
    let mut answers = stream::iter(calls).buffered(CONCURRENCY);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(score) => println!("{}", score.value()),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}
