//! Parses the command line and runs one subcommand.

fn main() -> std::process::ExitCode {
    let settings = match scoring_api::config::Settings::load(None, std::env::vars_os(), &[]) {
        Ok(settings) => settings,
        Err(_) => return 2.into(),
    };
    let _guard = scoring_api::telemetry::init(&settings.log);
    actix_web::rt::System::new().block_on(async {
        let Ok(app) = scoring_api::app::Application::build(&settings) else {
            return 2.into();
        };
        let _ = app
            .run_until(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await;
        0.into()
    })
}
