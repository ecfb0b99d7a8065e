//! One panel: axes, a grid, and a line with its band for each policy.

use std::fmt::Write;

use super::super::{Curve, Point};
use super::axis::Axis;
use super::{escape, place};
use crate::lab::statistics::Estimate;

/// Of a panel with all its labels, pixels.
pub(super) const WIDTH: f64 = 560.0;
/// Of a panel with all its labels, pixels.
pub(super) const HEIGHT: f64 = 300.0;

/// Room for the labels around the plot, pixels.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 48.0;

/// How many colours there are; lines beyond are dashed in the same colours.
pub(super) const COLOURS: usize = 8;

/// One line of a panel.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The class of its stroke, `s0` to `s7`, or `ref` for what lines are held against.
    pub(super) class: String,
    /// Is it dashed?
    pub(super) dashed: bool,
    pub(super) curve: Curve,
}

impl Series {
    /// The line of the policy with this number.
    pub(super) fn policy(number: usize, curve: Curve) -> Self {
        Self { class: format!("s{}", number % COLOURS), dashed: number >= COLOURS, curve }
    }

    /// What was asked for: no policy's line, without a band.
    pub(super) fn asked(mut curve: Curve) -> Self {
        curve.iter_mut().for_each(|point| point.y.half_width = None);
        Self { class: "ref".to_owned(), dashed: true, curve }
    }

    /// All that was asked for, allocated.
    pub(super) fn even(most: f64) -> Self {
        let point = |x| Point { x, y: Estimate { mean: x, deviation: 0.0, half_width: None, count: 1 } };
        Self { class: "ref".to_owned(), dashed: true, curve: vec![point(0.0), point(most)] }
    }
}

/// One panel.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

impl Panel {
    /// Writes the panel with its upper left corner at `left`, `top`; `number` tells its clip path from others.
    pub(super) fn write(&self, svg: &mut String, number: usize, left: f64, top: f64) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let (left, top) = (place(left + LEFT), place(top + TOP));
        let _ok = writeln!(svg, "<g transform=\"translate({left} {top})\">");
        let _ok = writeln!(svg, "<text class=\"ink title\" x=\"0\" y=\"-12\">{}</text>", escape(&self.title));
        self.write_axes(svg, width, height);
        let _ok = writeln!(
            svg,
            "<clipPath id=\"c{number}\"><rect x=\"-1\" y=\"-1\" width=\"{}\" height=\"{}\"/></clipPath>\n\
             <g clip-path=\"url(#c{number})\">",
            // A line along an edge keeps its whole width.
            place(width + 2.0),
            place(height + 2.0)
        );
        let at = |x: f64, y: f64| {
            // Far beyond the edge is as good as anywhere beyond it, and stays a number that readers can parse.
            let (x, y) = (self.x.part(x).clamp(-1.0, 2.0), self.y.part(y).clamp(-1.0, 2.0));
            format!("{} {}", place(x * width), place((1.0 - y) * height))
        };
        // Bands below all lines, so that none is hidden.
        self.series.iter().for_each(|series| write_band(svg, series, &at));
        self.series.iter().for_each(|series| write_line(svg, series, &at));
        svg.push_str("</g>\n");
        if self.series.iter().all(|series| series.class == "ref" || series.curve.is_empty()) {
            let (x, y) = (place(width / 2.0), place(height / 2.0));
            let _ok = writeln!(svg, "<text class=\"ink mid\" x=\"{x}\" y=\"{y}\">nothing to show</text>");
        }
        svg.push_str("</g>\n");
    }

    fn write_axes(&self, svg: &mut String, width: f64, height: f64) {
        for (value, text) in self.x.ticks() {
            let x = place(self.x.part(value) * width);
            let (end, below) = (place(height), place(height + 16.0));
            let _ok = writeln!(svg, "<path class=\"grid\" d=\"M{x} 0V{end}\"/>");
            let _ok = writeln!(svg, "<text class=\"ink mid\" x=\"{x}\" y=\"{below}\">{text}</text>");
        }
        for (value, text) in self.y.ticks() {
            let y = (1.0 - self.y.part(value)) * height;
            let (end, line, middle) = (place(width), place(y), place(y + 4.0));
            let _ok = writeln!(svg, "<path class=\"grid\" d=\"M0 {line}H{end}\"/>");
            let _ok = writeln!(svg, "<text class=\"ink end\" x=\"-8\" y=\"{middle}\">{text}</text>");
        }
        let (right, end) = (place(width), place(height));
        let _ok = writeln!(svg, "<path class=\"axis\" d=\"M0 0V{end}H{right}\"/>");
        let (x, y) = (place(width / 2.0), place(height + 36.0));
        let _ok =
            writeln!(svg, "<text class=\"ink mid\" x=\"{x}\" y=\"{y}\">{}</text>", escape(&self.x.label));
        let (x, y) = (place(-height / 2.0), place(16.0 - LEFT));
        let label = escape(&self.y.label);
        let _ok = writeln!(
            svg,
            "<text class=\"ink mid\" transform=\"rotate(-90)\" x=\"{x}\" y=\"{y}\">{label}</text>"
        );
    }
}

/// The interval around a line, where there is one.
fn write_band(svg: &mut String, series: &Series, at: &impl Fn(f64, f64) -> String) {
    let sure: Vec<&Point> = series.curve.iter().filter(|point| point.y.half_width.is_some()).collect();
    if sure.len() < 2 || sure.iter().all(|point| point.y.half_width == Some(0.0)) {
        return;
    }
    let upper = sure.iter().map(|point| at(point.x, point.y.interval().1));
    let lower = sure.iter().rev().map(|point| at(point.x, point.y.interval().0));
    let outline: Vec<String> = upper.chain(lower).collect();
    let _ok = writeln!(svg, "<path class=\"band {}b\" d=\"M{}Z\"/>", series.class, outline.join("L"));
}

fn write_line(svg: &mut String, series: &Series, at: &impl Fn(f64, f64) -> String) {
    if series.curve.is_empty() {
        return;
    }
    let points: Vec<String> = series.curve.iter().map(|point| at(point.x, point.y.mean)).collect();
    let dash = if series.dashed { " dash" } else { "" };
    let _ok = writeln!(svg, "<path class=\"line {}{dash}\" d=\"M{}\"/>", series.class, points.join("L"));
}
