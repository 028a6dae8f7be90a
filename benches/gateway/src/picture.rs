//! The picture for the README: bars of CPU time against the roofline, and what a silent client
//! costs.

use std::fmt::Write;

use crate::report::{Column, Report, Row};

/// Width of the picture, in its own units.
const WIDTH: f64 = 860.0;
/// Where the bars begin.
const LEFT: f64 = 270.0;
/// Where the longest bar ends.
const RIGHT: f64 = 640.0;
/// The ratio at which a bar is cut.
const CUT: f64 = 2.5;
/// Height of a bar, with the gap below it.
const BAR: f64 = 14.0;
/// Gap between two works.
const GAP: f64 = 8.0;
/// Where the first work begins.
const TOP: f64 = 92.0;

/// The programs that have a colour.
const PROGRAMS: [&str; 5] = ["ouistiti", "lighttpd", "websocat", "websocketd", "relay"];

/// Colours by role; the second set where the reader's page is dark.
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1f2328 }\n\
    .title { font-size: 16px; font-weight: 600 } .small { font-size: 11px } .faint { fill: #59636e }\n\
    .page { fill: #ffffff; stroke: #d1d9e0 } .gap { fill: #ffffff } .roof { stroke: #59636e; stroke-dasharray: 4 3 }\n\
    .ouistiti { fill: #2f6fb5 } .lighttpd { fill: #b5652f } .websocat { fill: #3f8f5b }\n\
    .websocketd { fill: #8a5bb0 } .relay { fill: #8c959f }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #f0f6fc } .faint { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d }\n\
    .gap { fill: #0d1117 } .roof { stroke: #9198a1 } .ouistiti { fill: #5b9be0 } .lighttpd { fill: #e0935b }\n\
    .websocat { fill: #63bd83 } .websocketd { fill: #b48ad6 } .relay { fill: #6e7681 }\n\
    }";

/// Draws each program but the roofline, which is a line at 1, and the memory of silent clients.
pub fn draw(report: &Report) -> String {
    let rows = report.rows.iter().filter(|row| of_roofline(row));
    let mut body = String::new();
    let mut y = TOP;
    for row in rows {
        y = work(&mut body, row, y);
    }
    let roof = x(1.0 / CUT);
    let _ = writeln!(
        body,
        "<line class=\"roof\" x1=\"{roof:.1}\" x2=\"{roof:.1}\" y1=\"{:.1}\" y2=\"{y:.1}\"/>\n\
         <text class=\"faint small\" x=\"{roof:.1}\" y=\"{:.1}\" text-anchor=\"middle\">relay 1.00</text>",
        TOP - 6.0,
        TOP - 10.0,
    );
    y = silent(&mut body, report, y + 24.0);
    let _ = writeln!(
        body,
        "<text class=\"faint small\" x=\"20\" y=\"{:.1}\">{}, one CPU</text>",
        y + 22.0,
        report.machine
    );
    let height = y + 36.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>CPU time against a plain relay</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"20\" y=\"30\">CPU time against a plain relay (shorter is better)</text>\n\
         {}{body}</svg>\n",
        WIDTH - 1.0,
        height - 1.0,
        legend(report),
    )
}

/// Where a bar of this part of the whole length ends.
fn x(part: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * part.min(1.0)
}

fn of_roofline(row: &Row) -> bool {
    row.columns
        .first()
        .is_some_and(|first| first.program == "relay")
}

/// Names the colours of the programs that there are.
fn legend(report: &Report) -> String {
    let shown = |name: &str| {
        let columns = report.rows.iter().flat_map(|row| &row.columns);
        columns
            .map(|column| column.program)
            .any(|program| program == name)
    };
    let mut text = String::new();
    let mut at = 20.0;
    for name in PROGRAMS.into_iter().filter(|name| shown(name)) {
        let _ = writeln!(
            text,
            "<rect class=\"{name}\" x=\"{at}\" y=\"46\" width=\"12\" height=\"12\" rx=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"57\">{name}</text>",
            at + 18.0
        );
        at += 110.0;
    }
    text
}

/// One work, from `y` on; where the next one begins.
fn work(body: &mut String, row: &Row, y: f64) -> f64 {
    let columns = &row.columns[1..];
    let middle = y + BAR * columns.len() as f64 / 2.0 + 3.0;
    name(body, row.name, middle);
    for (index, column) in columns.iter().enumerate() {
        let Column {
            program, cpu_ratio, ..
        } = column;
        let cost = match index {
            0 => column.describe(row.unit),
            _ => String::new(),
        };
        let label = format!("{cpu_ratio:.2} <tspan class=\"faint\">{cost}</tspan>");
        bar(
            body,
            program,
            cpu_ratio / CUT,
            y + BAR * index as f64,
            x(1.0 / CUT),
            &label,
        );
    }
    y + BAR * columns.len() as f64 + GAP
}

/// What a silent client costs each program; where it ends.
fn silent(body: &mut String, report: &Report, y: f64) -> f64 {
    let total = |memory: f64, kernel: f64| (memory + kernel.max(0.0)) / 1024.0;
    let most = report
        .crowds
        .iter()
        .map(|crowd| total(crowd.memory, crowd.kernel));
    let most = most.fold(1.0, f64::max);
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"20\" y=\"{y:.1}\">Memory of a silent client, KB: the program's and the kernel's</text>"
    );
    let mut y = y + 16.0;
    for crowd in &report.crowds {
        let (memory, kernel) = (crowd.memory / 1024.0, crowd.kernel.max(0.0) / 1024.0);
        let kind = crowd.name.split(' ').next().unwrap_or_default();
        name(
            body,
            &format!("{}, {} clients", crowd.name, crowd.clients),
            y + 10.0,
        );
        let label = format!("{memory:.1} + {kernel:.1}");
        bar(body, kind, (memory + kernel) / most, y, LEFT, &label);
        y += BAR + 4.0;
    }
    y
}

fn name(body: &mut String, text: &str, y: f64) {
    let x = LEFT - 10.0;
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"
    );
}

/// A bar with its label, which begins behind `text`; a bar that is cut has an open end.
fn bar(body: &mut String, class: &str, part: f64, y: f64, text: f64, label: &str) {
    let (end, thick) = (x(part), BAR - 3.0);
    let _ = writeln!(
        body,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{thick:.1}\" rx=\"2\"/>",
        (end - LEFT).max(1.0)
    );
    if part > 1.0 {
        let (tip, top, half) = (end - 5.0, y - 1.0, thick / 2.0 + 1.0);
        let _ = writeln!(
            body,
            "<path class=\"gap\" d=\"M {tip:.1} {top:.1} l 6 {half:.1} l -6 {half:.1} h 6 v -{:.1} z\"/>",
            2.0 * half
        );
    }
    let _ = writeln!(
        body,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
        end.max(text) + 8.0,
        y + thick / 2.0 + 4.0,
    );
}
