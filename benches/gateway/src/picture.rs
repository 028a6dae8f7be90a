//! The picture for the README: bars of CPU time against the roofline.

use std::fmt::Write;

use crate::report::Report;

/// Width of the picture, in its own units.
const WIDTH: f64 = 860.0;
/// Where the bars begin.
const LEFT: f64 = 270.0;
/// Where the longest bar ends.
const RIGHT: f64 = 640.0;
/// Height of a work's bars with the gap below.
const ROW: f64 = 30.0;
/// Where the first work begins.
const TOP: f64 = 70.0;

/// Colours by role; the second set where the reader's page is dark.
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1f2328 }\n\
    .title { font-size: 16px; font-weight: 600 } .faint { fill: #59636e }\n\
    .page { fill: #ffffff; stroke: #d1d9e0 } .roof { stroke: #59636e; stroke-dasharray: 4 3 }\n\
    .bar0 { fill: #2f6fb5 } .bar1 { fill: #b5652f } .bar2 { fill: #3f8f5b }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #f0f6fc } .faint { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d }\n\
    .roof { stroke: #9198a1 } .bar0 { fill: #5b9be0 } .bar1 { fill: #e0935b } .bar2 { fill: #63bd83 }\n\
    }";

/// Draws each program but the roofline, which is a line at 1.
pub fn draw(report: &Report) -> String {
    let programs = &report.programs[1..];
    let ratios = report
        .rows
        .iter()
        .flat_map(|row| &row.columns[1..])
        .map(|column| column.cpu_ratio);
    let longest = ratios.fold(1.25, f64::max);
    let x = |ratio: f64| LEFT + (RIGHT - LEFT) * ratio / longest;
    let bottom = TOP + ROW * report.rows.len() as f64;
    let height = bottom + 64.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>CPU time against a plain relay</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"20\" y=\"30\">CPU time against a plain relay (shorter is better)</text>\n\
         <text class=\"faint\" x=\"{:.1}\" y=\"58\" text-anchor=\"middle\">roofline 1.00</text>\n",
        WIDTH - 1.0,
        height - 1.0,
        x(1.0),
    );
    let thick = (ROW - 10.0) / programs.len() as f64;
    for (number, row) in report.rows.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let middle = y + (ROW - 10.0) / 2.0 + 4.5;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            row.name
        );
        for (index, column) in row.columns[1..].iter().enumerate() {
            let top = y + thick * index as f64;
            let wide = x(column.cpu_ratio) - LEFT;
            let _ = writeln!(
                svg,
                "<rect class=\"bar{index}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{thick:.1}\" rx=\"2\"/>"
            );
            let label = format!("{:.2}", column.cpu_ratio);
            let cost = column
                .describe(row.unit)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{label} <tspan class=\"faint\">{cost}</tspan></text>",
                LEFT + wide.max(x(1.0) - LEFT) + 8.0,
                top + thick / 2.0 + 4.5,
            );
        }
    }
    let _ = writeln!(
        svg,
        "<line class=\"roof\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"64\" y2=\"{bottom:.1}\"/>",
        x(1.0)
    );
    let mut at = LEFT;
    for (index, name) in programs.iter().enumerate() {
        let y = bottom + 18.0;
        let own = report
            .memory
            .iter()
            .filter(|memory| memory.name.starts_with(name));
        let each =
            own.map(|memory| format!("{} {:.0} KB", memory.name, memory.connection / 1024.0));
        let each = each.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            svg,
            "<rect class=\"bar{index}\" x=\"{at}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\"/>",
            y - 11.0
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{y:.1}\">an idle connection: {each}</text>",
            at + 18.0
        );
        at += 290.0;
    }
    let _ = writeln!(
        svg,
        "<text class=\"faint\" x=\"20\" y=\"{:.1}\">{}, one CPU</text>\n</svg>",
        bottom + 46.0,
        report.machine
    );
    svg
}
