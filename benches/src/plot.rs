//! A plot as SVG: points at even distances with a label each, and two panels one above the other over the same points.
//!
//! Knows nothing of what is plotted. Colours hold on white and are told apart without colour by their markers.

use std::fmt::Write as _;

/// Pixels.
const WIDTH: f64 = 720.0;
const PANEL_HEIGHT: f64 = 210.0;
const TOP: f64 = 46.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 120.0;
const GAP: f64 = 26.0;
const BOTTOM: f64 = 54.0;

/// A line's colour and marker.
const STYLES: [(&str, &str); 4] =
    [("#1f5fa8", "circle"), ("#c0392b", "square"), ("#2e7d32", "circle"), ("#7b3fa0", "square")];

/// How the values of a panel are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero, evenly.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// One panel.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    /// What its values are, with their unit.
    pub(crate) label: &'a str,
    pub(crate) scale: Scale,
    /// Lines: a name, and a value for each point.
    pub(crate) lines: Vec<(&'a str, Vec<f64>)>,
}

/// The plot of these panels over `points`.
pub(crate) fn svg(title: &str, x_label: &str, points: &[String], panels: &[Panel<'_>]) -> String {
    let height = TOP + panels.len() as f64 * (PANEL_HEIGHT + GAP) + BOTTOM - GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" fill=\"#111111\">{}</text>\n",
        escaped(title)
    );
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut svg, TOP + number as f64 * (PANEL_HEIGHT + GAP), panel, points.len());
    }
    let base = height - BOTTOM;
    for (place, point) in points.iter().enumerate() {
        text(&mut svg, (x(place, points.len()), base + 18.0), "middle", point);
    }
    text(&mut svg, (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, base + 40.0), "middle", x_label);
    svg + "</svg>\n"
}

fn x(place: usize, count: usize) -> f64 {
    LEFT + (place as f64 + 0.5) * (WIDTH - LEFT - RIGHT) / count.max(1) as f64
}

fn draw(svg: &mut String, top: f64, panel: &Panel<'_>, count: usize) {
    let values = || panel.lines.iter().flat_map(|(_, values)| values.iter().copied());
    let ticks = ticks(panel.scale, values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    let y = |value: f64| {
        let part = match panel.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Logarithmic => (value / low).ln() / (high / low).ln(),
        };
        top + PANEL_HEIGHT * (1.0 - part)
    };
    for tick in &ticks {
        let (at, end) = (y(*tick), WIDTH - RIGHT);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#dddddd\"/>");
        text(svg, (LEFT - 8.0, at + 4.0), "end", &number(*tick));
    }
    text(svg, (LEFT, top - 6.0), "start", panel.label);
    for ((name, values), (color, marker)) in panel.lines.iter().zip(STYLES) {
        let places: Vec<_> = values.iter().enumerate().map(|(place, value)| (x(place, count), y(*value))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", path.join("L"));
        for (x, y) in &places {
            let _ = match marker {
                "circle" => writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>"),
                _ => writeln!(svg, "<path d=\"M{:.1} {:.1}h7v7h-7z\" fill=\"{color}\"/>", x - 3.5, y - 3.5),
            };
        }
        if let Some((x, y)) = places.last() {
            text(svg, (x + 10.0, y + 4.0), "start", name);
        }
    }
}

/// Values that get a line across: the first is the panel's low end, the last its high end.
fn ticks(scale: Scale, low: f64, high: f64) -> Vec<f64> {
    match scale {
        Scale::Linear => {
            let step = step(high.max(f64::MIN_POSITIVE) / 4.0);
            let last = (high / step).ceil().max(1.0) as i32;
            (0..=last).map(|number| f64::from(number) * step).collect()
        }
        Scale::Logarithmic => {
            let power = |value: f64| value.max(1e-6).log10();
            let (first, last) = (power(low).floor() as i32, power(high).ceil() as i32);
            (first..=last.max(first + 1)).map(|power| 10_f64.powi(power)).collect()
        }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    if value >= 1.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333333\">{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_between_the_first_tick_and_the_last() {
        for high in [0.004, 0.9, 1.0, 3.7, 999.0, 5_000.0] {
            for scale in [Scale::Linear, Scale::Logarithmic] {
                let ticks = ticks(scale, high / 30.0, high);
                assert!(ticks[0] <= high / 30.0 && *ticks.last().unwrap() >= high * 0.999_999, "{high} {ticks:?}");
                assert!(ticks.len() >= 2 && ticks.len() <= 7, "{ticks:?}");
            }
        }
    }

    #[test]
    fn a_plot_has_each_point_of_each_line_and_no_markup_of_its_texts() {
        let panel = Panel { label: "ms", scale: Scale::Logarithmic, lines: vec![("p50", vec![1.0, 30.0])] };
        let svg = svg("a < b", "users", &["1".to_owned(), "2".to_owned()], &[panel]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }
}
