//! The same plot as a file: SVG by hand, without scripts, fonts or anything else to load.

use std::fmt::{self, Write};

use super::plot::{Plot, SAMPLES};

const SIZE: (f64, f64) = (720.0, 440.0);
/// The frame of the curve: left, top, right, bottom.
const FRAME: (f64, f64, f64, f64) = (70.0, 50.0, 600.0, 370.0);
/// The least distance between the names of two levels.
const LINE: f64 = 15.0;

/// A whole SVG document.
pub(super) fn svg(plot: &Plot) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, plot);
    text
}

fn write(to: &mut String, plot: &Plot) -> fmt::Result {
    let ((width, height), (left, top, right, bottom)) = (SIZE, FRAME);
    let (middle, centre) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
    let title = escaped(&plot.title);
    writeln!(
        to,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="13">"#
    )?;
    writeln!(to, "<title>{title}</title>")?;
    writeln!(to, r##"<rect width="{width}" height="{height}" fill="#fff"/>"##)?;
    writeln!(to, r#"<text x="{left}" y="28" font-size="15">{title}</text>"#)?;

    for tick in plot.ticks_across() {
        let x = across(tick.at);
        line(to, "#ddd", (x, top), (x, bottom))?;
        let below = bottom + 18.0;
        let text = tick.text;
        writeln!(to, r#"<text x="{x:.1}" y="{below}" text-anchor="middle">{text}</text>"#)?;
    }
    for tick in plot.ticks_upward() {
        let y = upward(tick.at);
        line(to, "#ddd", (left, y), (right, y))?;
        let (before, y, text) = (left - 8.0, y + 4.5, tick.text);
        writeln!(to, r#"<text x="{before}" y="{y:.1}" text-anchor="end">{text}</text>"#)?;
    }
    line(to, "#222", (left, bottom), (right, bottom))?;
    line(to, "#222", (left, top), (left, bottom))?;
    let (below, name) = (bottom + 44.0, escaped(plot.across));
    writeln!(to, r#"<text x="{middle}" y="{below}" text-anchor="middle">{name}</text>"#)?;
    let name = escaped(&plot.upward);
    writeln!(
        to,
        r#"<text transform="translate(20 {centre}) rotate(-90)" text-anchor="middle">{name}</text>"#
    )?;

    let points: Vec<_> = plot
        .curve
        .iter()
        .enumerate()
        .map(|(sample, height)| {
            let x = across(sample as f64 / (SAMPLES - 1) as f64);
            format!("{x:.1},{:.1}", upward(height / plot.top))
        })
        .collect();
    let points = points.join(" ");
    writeln!(
        to,
        r##"<polyline points="{points}" fill="none" stroke="#1f5a99" stroke-width="2.5"/>"##
    )?;
    levels(to, plot)?;
    writeln!(to, "</svg>")
}

/// Dashed lines, with their names to the right, the highest first.
fn levels(to: &mut String, plot: &Plot) -> fmt::Result {
    let (left, _, right, _) = FRAME;
    let mut levels = plot.levels.clone();
    levels.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut free = f64::MIN;
    for (name, height) in levels {
        let y = upward(height / plot.top);
        writeln!(
            to,
            r##"<line x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#b3261e" stroke-dasharray="6 4"/>"##
        )?;
        let at = (y + 4.5).max(free);
        free = at + LINE;
        let (after, name) = (right + 8.0, escaped(name));
        writeln!(to, r##"<text x="{after}" y="{at:.1}" fill="#b3261e">{name}</text>"##)?;
    }
    Ok(())
}

fn line(to: &mut String, colour: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> fmt::Result {
    writeln!(to, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#)
}

/// Where a fraction of the axis to the right is.
fn across(fraction: f64) -> f64 {
    let (left, _, right, _) = FRAME;
    left + (right - left) * fraction.clamp(0.0, 1.0)
}

/// Where a fraction of the axis upward is.
fn upward(fraction: f64) -> f64 {
    let (_, top, _, bottom) = FRAME;
    bottom - (bottom - top) * fraction.clamp(0.0, 1.0)
}

/// Text as XML can hold it: of what is in a policy, names are anybody's.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Neither control characters nor these two are allowed in XML.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{super::plot::tests::plot, *};

    /// Every element is closed in its order; every attribute is quoted.
    fn require_well_formed(text: &str) {
        let mut open = Vec::new();
        let mut rest = text;
        while let Some((before, tag)) = rest.split_once('<') {
            assert!(!before.contains('>') && (before.trim().is_empty() || !open.is_empty()));
            let entities = before.split('&').skip(1);
            assert!(
                entities.map(|e| e.split(';').next().unwrap()).all(|e| e.len() < 5),
                "{before}"
            );
            let (tag, after) = tag.split_once('>').unwrap();
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
                continue;
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            assert_eq!(tag.matches('"').count(), 2 * tag.matches("=\"").count(), "{tag}");
            if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
    }

    #[test]
    fn the_document_is_well_formed_and_loads_nothing() {
        let plot = plot();
        let text = svg(&plot);
        require_well_formed(&text);
        assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(text.contains("A &lt;plot&gt; &amp; its \"parts\""));
        for part in [">epsilon<", ">noise<", ">one job<", ">left<", ">50<", ">1.5<"] {
            assert!(text.contains(part), "{part}");
        }
        for never in ["script", "href", "url(", "NaN", "inf", "@import"] {
            assert!(!text.contains(never), "{never}");
        }
        assert_eq!(text.matches("<polyline").count(), 1);
    }

    #[test]
    fn everything_is_inside_the_frame() {
        let mut plot = plot();
        plot.curve[0] = 1e9;
        let text = svg(&plot);
        let points = text.split_once("points=\"").unwrap().1.split_once('"').unwrap().0;
        let points: Vec<(f64, f64)> = points
            .split(' ')
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert_eq!(points.len(), SAMPLES);
        let (left, top, right, bottom) = FRAME;
        assert_eq!((points[0], points[SAMPLES - 1].0), ((left, top), right));
        assert!(points.iter().all(|(_, y)| (top..=bottom).contains(y)));
    }

    #[test]
    fn names_of_levels_that_are_close_stand_apart() {
        let mut plot = plot();
        plot.levels = vec![("left", 1.0), ("one job", 1.0001)];
        let text = svg(&plot);
        let y = |name: &str| -> f64 {
            let before = text.split_once(&format!(">{name}<")).unwrap().0;
            let (_, y) = before.rsplit_once("y=\"").unwrap();
            y.split_once('"').unwrap().0.parse().unwrap()
        };
        assert!(y("left") - y("one job") >= LINE - 0.1);
    }
}
