//! The plots of the report, from the same data.

use std::{ops::Range, path::Path};

use plotters::{
    coord::{Shift, ranged1d::ValueFormatter},
    prelude::*,
};

use crate::{
    contenders::is_again,
    data::{Data, SHARES, Spread, Throughput},
    groups::LATENCY_GROUPS,
    workloads::Workload,
};

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 760;

/// Draws all plots into `folder`; returns their file names and titles.
pub fn draw(data: &Data, folder: &Path) -> Vec<(&'static str, &'static str)> {
    let per_second = |connections| {
        let number = |run: &Throughput| run.per_second;
        move |id: &str| data.spread(id, Workload::Cached, connections, number)
    };
    let cpu = |id: &str| data.spread(id, Workload::Cached, 32, |run| run.cpu_us);
    let bar_plots = [
        ("cached-32", "Cached online_score a second, 32 connections", bars(data, per_second(32))),
        ("cached-256", "Cached online_score a second, 256 connections", bars(data, per_second(256))),
        ("cpu", "CPU microseconds for a cached online_score", bars(data, cpu)),
    ];
    let mut drawn = Vec::new();
    for (name, title, rows) in bar_plots {
        bar_plot(&folder.join(format!("{name}.svg")), title, &rows);
        drawn.push((name, title));
    }
    let title = "CPU microseconds for each id of clients_interests";
    line_plot(&folder.join("ids.svg"), title, ["ids in one call", "µs"], &ids(data), |x| format!("{x:.0}"));
    drawn.push(("ids", title));
    let title = "Time of a cached online_score at 60 % load, by percentile";
    let share = |nines: f64| match nines {
        nines if nines < 0.5 => "p50".to_owned(),
        nines => format!("p{}", 100.0 - 100.0 * 0.1_f64.powf(nines.round())),
    };
    line_plot(&folder.join("latency.svg"), title, ["", "µs"], &percentiles(data), share);
    drawn.push(("latency", title));
    drawn
}

fn bars(data: &Data, number: impl Fn(&str) -> Option<Spread>) -> Vec<(String, Spread)> {
    let shown = data.contenders.iter().filter(|(id, _)| !is_again(id));
    shown.filter_map(|(id, _)| Some((id.clone(), number(id)?))).collect()
}

fn ids(data: &Data) -> Vec<(String, Points)> {
    let cost = |id: &str, ids: usize| {
        let workload = Workload::Interests(ids);
        let cost = data.spread(id, workload, workload.connections(), |run| run.cpu_us / ids as f64)?;
        Some((ids as f64, cost.median.max(0.001)))
    };
    let line = |id: &str| [10, 100, 1_000, 10_000].into_iter().filter_map(|ids| cost(id, ids)).collect();
    let shown = data.contenders.iter().filter(|(id, _)| !is_again(id));
    lines(shown.map(|(id, _)| (id.clone(), line(id))))
}

/// Latencies of the Rust group, by the number of nines in the percentile.
fn percentiles(data: &Data) -> Vec<(String, Points)> {
    let median = |id: &str, index: usize| {
        let median = Spread::of(data.latencies(id, 0).map(|run| run.percentiles[index]))?.median;
        Some(((1.0 / (1.0 - SHARES[index])).log10(), median.max(1.0)))
    };
    let line = |id: &str| (0..SHARES.len()).filter_map(|index| median(id, index)).collect();
    let shown = LATENCY_GROUPS[0].1.iter().filter(|id| !is_again(id));
    lines(shown.map(|id| ((*id).to_owned(), line(id))))
}

fn lines(all: impl Iterator<Item = (String, Points)>) -> Vec<(String, Points)> {
    all.filter(|(_, points)| points.len() > 1).collect()
}

/// One bar for each row, with a line from minimum to maximum, and the median as a number.
fn bar_plot(path: &Path, title: &str, rows: &[(String, Spread)]) {
    const ROW: i32 = 26;
    const LEFT: i32 = 110;
    const TOP: i32 = 40;

    let height = TOP + ROW * i32::try_from(rows.len()).unwrap() + 10;
    let canvas = canvas(path, height.unsigned_abs());
    let most = rows.iter().map(|(_, spread)| spread.max).fold(1.0, f64::max);
    let x = |value: f64| LEFT + (value / most * f64::from(WIDTH as i32 - LEFT - 90)) as i32;
    text(&canvas, title, (10, 10), 18);
    for (row, (name, spread)) in (0..).zip(rows) {
        let top = TOP + ROW * row;
        text(&canvas, name, (10, top + 4), 14);
        let bar =
            Rectangle::new([(LEFT, top + 2), (x(spread.median), top + ROW - 4)], color(0).mix(0.7).filled());
        canvas.draw(&bar).unwrap();
        let middle = top + ROW / 2 - 1;
        let reach =
            PathElement::new([(x(spread.min), middle), (x(spread.max), middle)], BLACK.stroke_width(2));
        canvas.draw(&reach).unwrap();
        let digits = if spread.median < 100.0 { 1 } else { 0 };
        text(&canvas, &format!("{:.digits$}", spread.median), (x(spread.max) + 8, top + 4), 14);
    }
    canvas.present().unwrap();
}

/// Lines over logarithmic scales; the latency plot's x values are nines, which are logarithms already.
pub fn line_plot(
    path: &Path,
    title: &str,
    [x_name, y_name]: [&str; 2],
    lines: &[(String, Points)],
    x_label: impl Fn(f64) -> String,
) {
    let canvas = canvas(path, 420);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (xs, ys) = (range(points().map(|(x, _)| *x)), range(points().map(|(_, y)| *y)));
    // At least a decade, so that the scale has a label, and room for the names above the lines.
    let ys = (ys.start.min(ys.end / 10.0) * 0.8..ys.end * 3.0).log_scale();
    if xs.end > 100.0 {
        let chart = chart(&canvas, title).build_cartesian_2d(xs.log_scale(), ys).unwrap();
        draw_lines(chart, x_name, y_name, lines, x_label);
    } else {
        let chart = chart(&canvas, title).build_cartesian_2d(xs, ys).unwrap();
        draw_lines(chart, x_name, y_name, lines, x_label);
    }
    canvas.present().unwrap();
}

fn draw_lines<'a, X, Y>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    x_name: &str,
    y_name: &str,
    lines: &[(String, Points)],
    x_label: impl Fn(f64) -> String,
) where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let x_label = |x: &f64| x_label(*x);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x_name).y_desc(y_name).x_labels(6).x_label_formatter(&x_label).light_line_style(TRANSPARENT);
    mesh.label_style((FONT, 13)).draw().unwrap();
    for (index, (name, points)) in lines.iter().enumerate() {
        let style = color(index).stroke_width(2);
        let series = LineSeries::new(points.iter().copied(), style).point_size(3);
        chart
            .draw_series(series)
            .unwrap()
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).label_font((FONT, 13)).background_style(WHITE.mix(0.8));
    labels.draw().unwrap();
}

fn chart<'a, 'b>(canvas: &'a Canvas<'b>, title: &str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(canvas);
    chart.caption(title, (FONT, 18)).margin(10).margin_right(40).x_label_area_size(40).y_label_area_size(60);
    chart
}

fn canvas(path: &Path, height: u32) -> Canvas<'_> {
    let canvas = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    canvas.fill(&WHITE).unwrap();
    canvas
}

fn text(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: i32) {
    canvas.draw_text(text, &(FONT, size).into_text_style(canvas), at).unwrap();
}

fn color(index: usize) -> PaletteColor<Palette99> {
    Palette99::pick(index)
}

fn range(numbers: impl Iterator<Item = f64>) -> Range<f64> {
    let all = Spread::of(numbers).unwrap_or(Spread { median: 1.0, min: 0.5, max: 2.0 });
    all.min..all.max
}
