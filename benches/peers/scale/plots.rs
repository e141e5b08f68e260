//! The plots of how the cost grows.

use std::path::Path;

use super::{
    data::{Point, Question, SHARES, Scale, Stage},
    prediction::Check,
};
use crate::plots::line_plot;

type Lines = Vec<(String, Vec<(f64, f64)>)>;

/// One number of a point, with its name if a plot has several.
type Number<'a> = (&'a str, fn(&Point) -> f64);

/// A plot: its question, file, title, axis names, and the numbers of each contender.
struct Plot<'a> {
    question: Question,
    name: &'static str,
    title: &'static str,
    axes: [&'a str; 2],
    numbers: &'a [Number<'a>],
}

const CPU: Number<'_> = ("CPU", |point| point.cpu_us);
const REDIS_CPU: Number<'_> = ("Redis' CPU", |point| point.redis_cpu_us);
const P50: Number<'_> = ("p50", |point| point.p50_us);
const P99: Number<'_> = ("p99", |point| point.p99_us);
const PER_SECOND: Number<'_> = ("", |point| point.per_second);
const MEMORY: Number<'_> = ("", |point| point.peak_rss_kib as f64 / 1024.0);

const PLOTS: &[Plot<'_>] = &[
    Plot {
        question: Question::Connections,
        name: "scale-connections-throughput",
        title: "Cached online_score a second, by connections",
        axes: ["connections", "calls a second"],
        numbers: &[PER_SECOND],
    },
    Plot {
        question: Question::Connections,
        name: "scale-connections-latency",
        title: "Time of a cached online_score under full load, by connections",
        axes: ["connections", "µs"],
        numbers: &[P50, P99],
    },
    Plot {
        question: Question::Connections,
        name: "scale-connections-cpu",
        title: "CPU for a cached online_score, by connections",
        axes: ["connections", "µs"],
        numbers: &[CPU, REDIS_CPU],
    },
    Plot {
        question: Question::Connections,
        name: "scale-connections-memory",
        title: "Peak memory, by connections",
        axes: ["connections", "MiB"],
        numbers: &[MEMORY],
    },
    Plot {
        question: Question::Ids,
        name: "scale-ids",
        title: "CPU for each id of clients_interests, by ids in a call",
        axes: ["ids in one call", "µs"],
        numbers: &[
            ("CPU", |point| point.cpu_us / point.at as f64),
            ("Redis' CPU", |point| point.redis_cpu_us / point.at as f64),
        ],
    },
    Plot {
        question: Question::Keys,
        name: "scale-keys",
        title: "clients_interests of 100 random ids, by keys in the embedded store",
        axes: ["keys", "µs"],
        numbers: &[P50, P99, CPU],
    },
    Plot {
        question: Question::Keys,
        name: "scale-keys-memory",
        title: "Peak memory, by keys in the embedded store",
        axes: ["keys", "MiB"],
        numbers: &[MEMORY],
    },
    Plot {
        question: Question::Hits,
        name: "scale-hits",
        title: "CPU for an online_score, by how many are cached",
        axes: ["% of calls", "µs"],
        numbers: &[CPU, REDIS_CPU],
    },
    Plot {
        question: Question::Workers,
        name: "scale-workers",
        title: "Cached online_score a second, by workers",
        axes: ["workers", "calls a second"],
        numbers: &[PER_SECOND],
    },
];

/// Draws all plots into `folder`; returns the question, file name and title of each.
pub fn draw(
    scale: &Scale,
    checks: &[Check],
    folder: &Path,
) -> Vec<(Option<Question>, &'static str, &'static str)> {
    let mut drawn = Vec::new();
    for Plot { question, name, title, axes, numbers } in PLOTS {
        let lines = lines(scale, *question, numbers);
        if lines.is_empty() {
            continue;
        }
        line_plot(&folder.join(format!("{name}.svg")), title, *axes, &lines, whole);
        drawn.push((Some(*question), *name, *title));
    }
    let (name, title) = ("scale-model", "A cached online_score at a fixed rate, predicted and measured");
    let lines = predictions(checks);
    line_plot(&folder.join(format!("{name}.svg")), title, ["% of the peak", "µs"], &lines, whole);
    drawn.push((None, name, title));
    drawn
}

/// Labels whole numbers only: 1.5 workers do not exist.
fn whole(x: f64) -> String {
    if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() }
}

fn lines(scale: &Scale, question: Question, numbers: &[Number<'_>]) -> Lines {
    let mut lines = Lines::new();
    for contender in scale.contenders(question) {
        for (what, number) in numbers {
            let point = |at: i64| Some((at as f64, scale.spread(question, contender, at, number)?.median));
            let points = scale.sizes(question, contender).into_iter().filter_map(point);
            // A logarithmic scale has no place for 0, such as the Redis share of a contender without Redis.
            let points: Vec<_> = points.filter(|(_, y)| *y > 0.0).collect();
            if points.len() > 1 {
                lines.push((format!("{contender} {what}").trim_end().to_owned(), points));
            }
        }
    }
    lines
}

fn predictions(checks: &[Check]) -> Lines {
    let mut lines = Lines::new();
    for (index, share) in SHARES.into_iter().enumerate() {
        let line = |number: fn(&Check, usize) -> f64| {
            let point = |check: &Check| match check.stage {
                Stage::Percent(percent) => Some((f64::from(percent), number(check, index))),
                Stage::Peak | Stage::Light => None,
            };
            checks.iter().filter_map(point).collect::<Vec<_>>()
        };
        let name = format!("p{:.0}", share * 100.0);
        lines.push((format!("{name}, measured"), line(|check, index| check.measured[index])));
        lines.push((format!("{name}, predicted"), line(|check, index| check.predicted[index])));
    }
    lines
}
