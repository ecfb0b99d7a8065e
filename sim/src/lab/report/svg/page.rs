//! The page: heading, legend, panels in two columns, and how the runs are made again.

use std::fmt::Write;

use super::super::Comparison;
use super::panel::{COLOURS, HEIGHT, Panel, WIDTH};
use super::{escape, place};

const COLUMNS: usize = 2;
/// Around everything, pixels.
const MARGIN: f64 = 16.0;
/// For the heading, pixels.
const HEADING: f64 = 52.0;
/// For one line of the legend or of the words below, pixels.
const ROW: f64 = 20.0;
/// About how wide a character of the legend is, pixels: fonts differ, so rather too wide.
const CHARACTER: f64 = 7.6;
/// Stroke and gaps of one entry of the legend, pixels.
const ENTRY: f64 = 48.0;
/// The most characters in a line of the words below.
const WORDS: usize = 165;

/// Strokes on light and on dark paper.
const STROKES: [(&str, &str); COLOURS] = [
    ("#0067a5", "#5ab4f0"),
    ("#c25400", "#ff9a4d"),
    ("#007a5a", "#2fd0a0"),
    ("#b04a8b", "#f09ccc"),
    ("#8a6d00", "#e6c84a"),
    ("#2f8fbf", "#a5dcff"),
    ("#5f4bb6", "#b3a4ff"),
    ("#6a6a6a", "#b8b8b8"),
];

/// Lays out all panels.
pub(super) fn page(comparison: &Comparison, panels: &[Panel]) -> String {
    let width = MARGIN * 2.0 + WIDTH * COLUMNS as f64;
    let (legend, legend_height) = legend(comparison, width);
    let top = MARGIN + HEADING + legend_height + 8.0;
    let rows = panels.len().div_ceil(COLUMNS);
    let words = words(comparison);
    let words_top = top + rows as f64 * HEIGHT;
    let height = words_top + words.len() as f64 * ROW + MARGIN;

    let mut svg = String::new();
    let (w, h) = (place(width), place(height));
    let _ok = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         font-family=\"system-ui, 'Helvetica Neue', Arial, sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<style>{}</style>\n<rect class=\"paper\" width=\"{w}\" height=\"{h}\"/>",
        escape(&comparison.about.source),
        style()
    );
    write_heading(&mut svg, comparison);
    svg.push_str(&legend);
    for (number, panel) in panels.iter().enumerate() {
        let (column, row) = (number % COLUMNS, number / COLUMNS);
        panel.write(&mut svg, number, MARGIN + column as f64 * WIDTH, top + row as f64 * HEIGHT);
    }
    for (number, line) in words.iter().enumerate() {
        let y = place(words_top + (number as f64 + 0.7) * ROW);
        let _ok =
            writeln!(svg, "<text class=\"soft\" x=\"{}\" y=\"{y}\">{}</text>", place(MARGIN), escape(line));
    }
    svg + "</svg>\n"
}

fn style() -> String {
    let rules = |dark: bool| {
        let ((paper, ink, soft, grid), lines) = if dark {
            (("#15181d", "#e8eaed", "#a4abb5", "#2f353e"), STROKES.map(|(_, dark)| dark))
        } else {
            (("#ffffff", "#1b1f24", "#59636e", "#e2e6ea"), STROKES.map(|(light, _)| light))
        };
        let mut rules = format!(
            ".paper{{fill:{paper}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}.grid{{stroke:{grid}}}\
             .axis{{stroke:{soft}}}.ref{{stroke:{soft}}}"
        );
        for (number, colour) in lines.iter().enumerate() {
            let _ok = write!(rules, ".s{number}{{stroke:{colour}}}.s{number}b{{fill:{colour}}}");
        }
        rules
    };
    format!(
        "{}.title{{font-size:14px;font-weight:600}}.head{{font-size:18px;font-weight:600}}\
         .mid{{text-anchor:middle}}.end{{text-anchor:end}}.grid,.axis{{fill:none;stroke-width:1}}\
         .line{{fill:none;stroke-width:1.8;stroke-linejoin:round}}.dash{{stroke-dasharray:6 4}}\
         .band{{stroke:none;fill-opacity:0.18}}@media (prefers-color-scheme:dark){{{}}}",
        rules(false),
        rules(true)
    )
}

fn write_heading(svg: &mut String, comparison: &Comparison) {
    let heading = comparison.heading();
    let (source, rest) = heading.trim_end().rsplit_once(": ").unwrap_or((heading.trim_end(), ""));
    let x = place(MARGIN);
    let _ok = writeln!(svg, "<text class=\"ink head\" x=\"{x}\" y=\"34\">{}</text>", escape(source));
    let _ok = writeln!(svg, "<text class=\"soft\" x=\"{x}\" y=\"56\">{}</text>", escape(rest));
}

/// The legend and its height: as many entries in a row as there is room for.
fn legend(comparison: &Comparison, width: f64) -> (String, f64) {
    let mut svg = String::new();
    let (mut x, mut y) = (MARGIN, MARGIN + HEADING + ROW / 2.0);
    for (number, line) in comparison.lines.iter().enumerate() {
        let ended = line.ended().count();
        let policy = if ended == 0 { format!("{} (stopped)", line.policy) } else { line.policy.clone() };
        let wide = ENTRY + policy.chars().count() as f64 * CHARACTER;
        if x + wide > width - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + ROW);
        }
        let dash = if number >= COLOURS { " dash" } else { "" };
        let (from, to, text) = (place(x), place(x + 26.0), place(x + 32.0));
        let (line, below) = (place(y - 4.0), place(y));
        let class = format!("line s{}{dash}", number % COLOURS);
        let _ok = writeln!(svg, "<path class=\"{class}\" stroke-width=\"3\" d=\"M{from} {line}H{to}\"/>");
        let _ok = writeln!(svg, "<text class=\"ink\" x=\"{text}\" y=\"{below}\">{}</text>", escape(&policy));
        x += wide;
    }
    (svg, y - MARGIN - HEADING + ROW / 2.0)
}

/// What stands below: how to read it, and how to make it again.
fn words(comparison: &Comparison) -> Vec<String> {
    let about = &comparison.about;
    let mut lines = Vec::new();
    if about.seeds.len() > 1 {
        lines.push(
            "Lines: means over the seeds. Bands: 95 % confidence intervals of the mean (Student's t)."
                .to_owned(),
        );
    }
    let shown = about.frameworks.len().min(super::FRAMEWORKS);
    if shown < about.frameworks.len() {
        lines.push(format!("Of {} frameworks the first {shown} are shown.", about.frameworks.len()));
    }
    let cite: Vec<char> = format!("lonja {}: {}", about.version, about.command).chars().collect();
    // Two lines of it at most: a command may be as long as one likes.
    lines.extend(cite.chunks(WORDS).take(2).map(|part| part.iter().collect::<String>()));
    lines
}
