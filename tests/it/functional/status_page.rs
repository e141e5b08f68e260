//! The status page in a real browser: through an outage, a panic and the end of the process.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rstest::rstest;
use serde_json::json;
use testkit::{Browser, Load, Person, ReservedPort, RespServer, TestApp, alone, eventually};

use super::{
    actors::{Fall, tell},
    status::on,
};

const WITHIN: Duration = Duration::from_secs(20);

/// A condition on the text of an element.
fn says(element: &str, text: &str) -> String {
    format!("return document.querySelector({}).innerText.includes({})", json!(element), json!(text))
}

fn has_level(level: &str) -> String {
    format!("return document.getElementById('verdict').className === {}", json!(level))
}

/// The page's colours of text and paper, each as its brightest part.
const COLOURS: &str = "const style = getComputedStyle(document.body);
    const brightness = colour => Math.max(...colour.match(/\\d+/g).slice(0, 3));
    return [brightness(style.backgroundColor), brightness(style.color)]";

/// Nothing is wider than the window.
const FITS: &str = "const page = document.documentElement; return page.scrollWidth <= page.clientWidth";

/// The text of the page, without the numbers, which change from moment to moment.
const WORDS: &str =
    "const words = main => main.textContent.replace(/[0-9][0-9,.:]*( s| min| h)?|<0.1/g, '#');
    const request = new XMLHttpRequest();
    request.open('GET', './', false);
    request.send();
    const served = new DOMParser().parseFromString(request.responseText, 'text/html').querySelector('main');
    const shown = document.querySelector('main');
    return [words(served), words(shown), shown.querySelectorAll('td').length]";

async fn open(app: &TestApp, width: u32, height: u32) -> Browser {
    let browser = Browser::start().await;
    browser.screen(width, height).await;
    browser.open(&format!("http://{}/", app.admin_address())).await;
    browser
}

/// Keeps a picture for docs/operations.md, if the pictures are to be made.
async fn keep_picture(browser: &Browser, name: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let picture = BASE64_STANDARD.decode(browser.screenshot().await).unwrap();
        let path = format!("{}/docs/images/{name}.png", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, picture).unwrap();
    }
}

#[tokio::test]
async fn an_outage_and_a_panic_are_seen_as_they_happen() {
    alone();
    let store = RespServer::start();
    let app = on(&store, &["http.workers=2", "cache.near_capacity=0"]).await;
    app.recovers().await;
    let load = Load::start(&app, 2);
    let browser = open(&app, 1280, 1700).await;
    browser.until("all is well", &has_level("ok")).await;
    browser.until("the calls are drawn", "return document.querySelectorAll('polyline').length >= 4").await;
    assert_eq!(browser.run("return document.title").await, json!("OK · scoring-api"));

    tell(&app, "scoring", Fall::PanicInHandler);
    browser.until("the panic is on the page", &says("#changes", "scoring was restarted (panic")).await;
    browser.until("its actor says so", &says("#actors", "told to panic")).await;

    store.door.shut();
    store.drop_connections();
    browser.until("the outage is on the page", &has_level("bad")).await;
    let down = format!("clients_interests is answered 503: the persistent store {} is down", store.addr());
    browser.until("with its address", &says("#verdict", &down)).await;
    browser.until("the reason is on the page", &says("#calls", "store_down")).await;
    browser.until("and the change", &says("#changes", "is down: ")).await;
    let link = "return document.querySelector('#verdict a').getAttribute('href')";
    assert_eq!(browser.run(link).await, json!("runbook#scoringpersistentstoredown"));
    keep_picture(&browser, "status-1280").await;

    store.heal();
    browser.until("the end is on the page", &says("#changes", "is up again after ")).await;
    browser.until("all is well again", &has_level("ok")).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    load.end().await;
}

#[rstest]
#[case::wide_and_light(1280, false)]
#[case::wide_and_dark(1280, true)]
#[case::narrow_and_light(400, false)]
#[case::narrow_and_dark(400, true)]
#[tokio::test]
async fn the_page_fits_its_window_in_the_colours_of_the_system(#[case] width: u32, #[case] is_dark: bool) {
    alone();
    let app = TestApp::spawn().await;
    let browser = Browser::start().await;
    if is_dark {
        browser.prefer_dark().await;
    }
    browser.screen(width, 900).await;
    browser.open(&format!("http://{}/", app.admin_address())).await;
    browser.until("all is well", "return document.title === 'OK · scoring-api'").await;
    assert_eq!(browser.run(FITS).await, json!(true));
    let colours = browser.run(COLOURS).await;
    let [paper, ink] = [0, 1].map(|place| colours[place].as_u64().unwrap());
    let (darker, lighter) = if is_dark { (paper, ink) } else { (ink, paper) };
    assert!(darker < 64 && lighter > 192, "{colours}");
}

#[tokio::test]
async fn an_outage_fits_a_phone_and_its_link_leads_to_the_runbook() {
    alone();
    let store = RespServer::start();
    let app = on(&store, &[]).await;
    app.recovers().await;
    let load = Load::start(&app, 2);
    let browser = Browser::start().await;
    browser.prefer_dark().await;
    browser.screen(400, 1100).await;
    browser.open(&format!("http://{}/", app.admin_address())).await;
    browser.until("the calls are drawn", "return document.querySelectorAll('polyline').length >= 3").await;
    store.door.shut();
    store.drop_connections();
    browser.until("the outage is on the page", &has_level("bad")).await;
    browser.until("the reason is on the page", &says("#calls", "store_down")).await;
    assert_eq!(browser.run(FITS).await, json!(true), "with its sentence and its cause");
    keep_picture(&browser, "status-400").await;

    browser.open(&format!("http://{}/runbook#scoringpersistentstoredown", app.admin_address())).await;
    assert_eq!(browser.run(FITS).await, json!(true), "the runbook");
    let in_sight = "const { top } = document.querySelector(':target').getBoundingClientRect();
        return top >= 0 && top < window.innerHeight";
    browser.until("the section of the link is in sight", in_sight).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    store.heal();
    load.end().await;
}

#[tokio::test]
async fn a_process_that_ends_turns_the_page_grey_until_another_answers() {
    alone();
    let port = ReservedPort::new();
    let bind = format!("admin.bind={}", port.addr());
    let app = TestApp::with_settings(&[&bind]).await;
    let browser = open(&app, 1280, 900).await;
    browser.until("all is well", &has_level("ok")).await;
    drop(app);
    browser.until("the silence is told", &says("#silence", "No answer for 3 s")).await;
    let is_grey = "return getComputedStyle(document.querySelector('main')).filter.includes('grayscale')";
    assert_eq!(browser.run(is_grey).await, json!(true));
    assert_eq!(browser.run("return document.title").await, json!("No answer · scoring-api"));

    let _app = TestApp::with_settings(&[&bind]).await;
    let recovered = "return document.getElementById('silence').hidden && document.title.startsWith('OK')";
    browser.until("the page goes on by itself", recovered).await;
    assert_eq!(browser.run(is_grey).await, json!(false));
}

#[tokio::test]
async fn the_page_has_the_same_words_with_and_without_its_script() {
    alone();
    let store = RespServer::start();
    let app = on(&store, &[]).await;
    app.recovers().await;
    app.online_score(&Person::full()).await;
    app.post("nonsense").await;
    tell(&app, "scoring", Fall::PanicInHandler);
    let browser = open(&app, 1280, 900).await;
    browser.until("the panic is on the page", &says("#changes", "scoring was restarted")).await;
    store.door.shut();
    store.drop_connections();
    browser.until("the outage is on the page", &says("#changes", "is down: ")).await;
    let mut last = json!(null);
    let same = async || {
        last = browser.run(WORDS).await;
        last[0] == last[1]
    };
    eventually(WITHIN, "both have the same words", same).await;
    assert!(last[2].as_u64() > Some(80), "{last}");
}

/// As if the service itself were tricked into these texts.
#[tokio::test]
async fn markup_in_the_report_is_shown_and_never_interpreted() {
    alone();
    let app = TestApp::spawn().await;
    let browser = Browser::start().await;
    let evil = "const fetched = window.fetch;
        window.fetch = async (...given) => {
            const report = await (await fetched(...given)).json();
            const spoil = value => typeof value === 'string' && !/^\\d{4}-/.test(value) ? value + '<img src=x><b>x</b>'
                : Array.isArray(value) ? value.map(spoil)
                : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, spoil(inner)]))
                : value;
            const level = report.verdict.level;
            const spoilt = spoil(report);
            spoilt.verdict.level = level;
            return { ok: true, json: async () => spoilt };
        }";
    browser.run_first(evil).await;
    browser.open(&format!("http://{}/", app.admin_address())).await;
    browser.until("the markup is shown", &says("#stores", "memory<img src=x><b>x</b>")).await;
    let made = "return document.querySelectorAll('main img, main td b').length";
    assert_eq!(browser.run(made).await, json!(0));
}
