use super::super::fixture::comparison;
use super::*;

/// Names of elements and their attributes' text, in order; panics unless every element is closed in its turn.
fn elements(xml: &str) -> Vec<(String, String)> {
    let (mut open, mut found, mut rest) = (Vec::new(), Vec::new(), xml);
    while let Some(begin) = rest.find('<') {
        assert!(!rest[..begin].contains('>'), "a bare > in {:?}", &rest[..begin]);
        let end = begin + rest[begin..].find('>').expect("a tag is closed");
        let tag = &rest[begin + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes come in pairs: {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else {
            let inner = tag.trim_end_matches('/');
            let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
            found.push((name.to_owned(), attributes.to_owned()));
            if !tag.ends_with('/') {
                open.push(name.to_owned());
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

#[test]
fn the_plots_are_one_well_formed_file_with_a_line_for_each_policy_in_each_panel() {
    let mut comparison = comparison();
    comparison.about.command = "lonja sim run \"a<b>&c\" --seeds 2".into();
    let svg = comparison.svg();
    let elements = elements(&svg);

    assert_eq!(elements[0].0, "svg");
    let lines = |class: &str| {
        let with = format!("class=\"line {class}\" d=");
        elements.iter().filter(|(name, attributes)| name == "path" && attributes.starts_with(&with)).count()
    };
    // cpus over time, allocated against asked, waiting, fragmentation, evenness, and two frameworks.
    assert_eq!(elements.iter().filter(|(name, _)| name == "clipPath").count(), 7);
    assert_eq!((lines("s0"), lines("s1"), lines("s2")), (7, 7, 7));
    assert!(elements.iter().any(|(_, attributes)| attributes.contains("class=\"band s0b\"")));
    assert!(
        !elements.iter().any(|(_, attributes)| attributes.contains("class=\"band s2b\"")),
        "one seed, no band"
    );
    assert!(svg.contains("a&lt;b&gt;&amp;c"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn more_policies_than_colours_are_dashed() {
    let mut comparison = comparison();
    let line = comparison.lines[0].clone();
    comparison.lines = vec![line; 10];

    let svg = comparison.svg();

    assert!(svg.contains("class=\"line s0 dash\"") && svg.contains("class=\"line s1 dash\""));
    elements(&svg);
}

#[test]
fn nothing_at_all_is_still_a_picture() {
    let mut comparison = comparison();
    comparison.lines.clear();

    let svg = comparison.svg();

    elements(&svg);
    assert!(svg.contains("nothing to show") && !svg.contains("NaN"));
}

#[test]
fn text_cannot_break_out_of_its_place() {
    assert_eq!(escape("<a b=\"c\">&\u{1}\n"), "&lt;a b=&quot;c&quot;&gt;&amp;? ");
}
