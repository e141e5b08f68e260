//! `status`: the page of a running service, in a terminal.

mod screen;
mod text;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::Args;
use tokio::{
    runtime::Builder,
    select,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::screen::Screen;
use super::{
    admin::Admin,
    failure::{Failure, complain},
    output,
    signals::Signals,
};
use crate::{config::Settings, http::status::StatusReport, telemetry};

const PATH: &str = "/status.json";

/// The time between two reports.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print it again each second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print the service's own answer: one line of JSON.
    #[arg(long)]
    json: bool,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy)]
struct Style {
    json: bool,
    coloured: bool,
    /// Whether a report replaces the one before.
    in_place: bool,
}

/// Prints the state of the service at `admin.bind`.
pub(super) fn run(args: &StatusArgs, settings: &Settings) -> Result<(), Failure> {
    let admin = Admin::of(settings)?;
    let is_terminal = io::stdout().is_terminal();
    let style = Style {
        json: args.json,
        coloured: telemetry::colours(is_terminal),
        in_place: args.watch && is_terminal && !args.json,
    };
    if args.watch { watch(admin, style) } else { Ok(output::print(&report(admin, style)?)?) }
}

/// Prints a report each second until a signal. A service that does not answer is asked again.
fn watch(admin: Admin, style: Style) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        // Its end brings back the terminal's contents, also after an error.
        let screen = if style.in_place { Some(Screen::enter()?) } else { None };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asking = async {
                ticks.tick().await;
                spawn_blocking(move || report(admin, style)).await
            };
            let report = select! {
                report = asking => report.map_err(|died| Failure::Start(died.into()))?,
                _ = signals.next() => return Ok(()),
            };
            match (report, &screen) {
                (Ok(report), Some(screen)) => screen.show(&report)?,
                (Ok(report), None) => output::print(&report)?,
                (Err(failure), Some(screen)) => screen.show(&format!("No answer. {failure}\n"))?,
                (Err(failure), None) => complain("error", failure),
            }
        }
    });
    // Does not wait for an answer.
    runtime.shutdown_background();
    ended
}

fn report(admin: Admin, style: Style) -> Result<String, Failure> {
    let body = admin.body(PATH)?;
    let malformed = |error: serde_json::Error| admin.failure(PATH, error.into());
    let report: StatusReport = serde_json::from_slice(&body).map_err(malformed)?;
    if style.json {
        return Ok(format!("{}\n", String::from_utf8_lossy(&body)));
    }
    Ok(text::of(&report, &format!("http://{}", admin.address()), style.coloured))
}
