//! Asks for one score: `score URL PHONE EMAIL`. Signs with the token in `SCORING_TOKEN` for the account `acme` and the login `shop`, or
//! with the contract's public salt.

#![allow(clippy::print_stdout, reason = "it prints")]

use std::{env, error::Error};

use scoring_client::{Client, Credentials, Identity, Person, Policy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [url, phone, email] =
        <[String; 3]>::try_from(arguments).map_err(|_| "usage: score URL PHONE EMAIL")?;
    let credentials = match env::var("SCORING_TOKEN") {
        Ok(token) => Credentials::token("acme", "shop", token),
        Err(_) => Credentials::salt("Otus"),
    };
    let client = Client::new(url.parse()?, credentials, Policy::default())?;
    let person = Person { phone: Some(phone), email: Some(email), ..Person::default() };
    let score = client.online_score(&Identity::new("acme", "shop"), &person).await?;
    println!("score: {}", score.value());
    Ok(())
}
