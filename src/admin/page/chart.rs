//! Small charts as SVG, rendered by the worker: they need no script and no library. Pure.
//!
//! Style sheet classes set colours and attributes set sizes, because a strict content security policy allows no inline style.

use maud::{Markup, html};

/// Bar chart whose bars are stacks of parts.
pub(super) struct Chart<'a> {
    /// Caption.
    pub title: &'a str,
    /// Content of the chart in words, for screen readers.
    pub summary: String,
    /// Class of each part of a bar, from the bottom up.
    pub parts: &'a [&'a str],
    /// Bars, oldest first; `None` marks missing data.
    pub bars: Vec<Option<Vec<f64>>>,
    /// Beginning of the chart, in words.
    pub since: &'a str,
    /// Formatter of the scale's highest value.
    pub top: fn(f64) -> String,
}

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 64.0;
/// Share of a bar's width that is left free beside it.
const GAP: f64 = 0.24;

impl Chart<'_> {
    /// Renders the chart as a figure with a caption.
    pub(super) fn draw(&self) -> Markup {
        let top = ceiling(self.bars.iter().flatten().map(|bar| bar.iter().sum()).fold(0.0, f64::max));
        html! {
            figure class="chart" {
                figcaption { (self.title) span class="peak" { "max " (( self.top)(top)) } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(self.summary) {
                    title { (self.summary) }
                    line class="rule" x1="0" y1="0.5" x2=(WIDTH) y2="0.5" {}
                    line class="rule" x1="0" y1=(HEIGHT / 2.0) x2=(WIDTH) y2=(HEIGHT / 2.0) {}
                    @for (at, bar) in self.bars.iter().enumerate() {
                        @for part in self.rects(at, bar.as_deref(), top) { (part) }
                    }
                    line class="ground" x1="0" y1=(HEIGHT - 0.5) x2=(WIDTH) y2=(HEIGHT - 0.5) {}
                }
                p class="scale" aria-hidden="true" { span { (self.since) } span { "now" } }
            }
        }
    }

    fn rects(&self, at: usize, bar: Option<&[f64]>, top: f64) -> Vec<Markup> {
        let step = WIDTH / number(self.bars.len().max(1));
        let (x, width) = (step * (number(at) + GAP / 2.0), step * (1.0 - GAP));
        let Some(bar) = bar else {
            let height = 2.0;
            return vec![
                html! { rect class="unknown" x=(short(x)) y=(short(HEIGHT - height)) width=(short(width)) height=(height) {} },
            ];
        };
        let mut ground = HEIGHT;
        let mut rects = Vec::new();
        for (value, class) in bar.iter().zip(self.parts).filter(|(value, _)| **value > 0.0) {
            // A value above zero stays visible, however small it is beside the others.
            let height = (value / top * HEIGHT).max(1.5);
            ground = (ground - height).max(0.0);
            rects.push(html! {
                rect class=(class) x=(short(x)) y=(short(ground)) width=(short(width)) height=(short(height)) {}
            });
        }
        rects
    }
}

/// Rounds up to the next 1, 2 or 5 times a power of ten.
fn ceiling(highest: f64) -> f64 {
    if highest <= 0.0 || !highest.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(highest.log10().floor());
    let candidates = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    candidates.into_iter().find(|candidate| *candidate >= highest).unwrap_or(highest)
}

fn short(number: f64) -> String {
    format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Converts a count, which is small enough for a float's precision.
#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(bars: Vec<Option<Vec<f64>>>) -> String {
        let top = |top: f64| format!("{top}");
        let summary = "<summary>".to_owned();
        Chart { title: "Events", summary, parts: &["good", "bad"], bars, since: "an hour ago", top }
            .draw()
            .into_string()
    }

    #[test]
    fn bars_are_stacked_below_a_round_maximum() {
        let drawn = chart(vec![Some(vec![4.0, 4.0]), None, Some(vec![0.0, 0.0])]);
        assert!(drawn.contains("max 10<"), "{drawn}");
        assert!(drawn.contains(r#"<rect class="good" x="12" y="38.4" width="76" height="25.6">"#), "{drawn}");
        assert!(drawn.contains(r#"<rect class="bad" x="12" y="12.8" width="76" height="25.6">"#), "{drawn}");
        assert_eq!((drawn.matches("<rect").count(), drawn.matches("unknown").count()), (3, 1));
    }

    #[test]
    fn small_values_stay_visible() {
        let drawn = chart(vec![Some(vec![5000.0, 1.0])]);
        assert!(drawn.contains(r#"class="bad" x="36" y="30.5" width="228" height="1.5""#), "{drawn}");
    }

    #[test]
    fn text_is_escaped_and_no_style_is_inline() {
        let drawn = chart(Vec::new());
        assert!(drawn.contains("&lt;summary&gt;") && !drawn.contains("<summary>"));
        assert!(!drawn.contains("style="));
    }

    #[test]
    fn ceilings_are_round() {
        let highest = [0.0, 0.3, 1.0, 1.1, 7.0, 43.0, 51.0, f64::NAN];
        let ceilings = highest.map(|highest| ceiling(highest).to_string());
        assert_eq!(ceilings, ["1", "0.5", "1", "2", "10", "50", "100", "1"]);
    }
}
