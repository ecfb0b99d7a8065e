//! The guide of the SDK shows no code that nobody compiles.

use std::path::Path;

/// Without the indentation, which a quotation may change.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn each_piece_of_code_in_the_guide_stands_in_a_file_that_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace");
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let sources = [
        "examples/hello.rs",
        "cli/template/src/lib.rs",
        "cli/template/src/main.rs",
        "cli/template/tests/faults.rs",
        "framework-sdk/tests/guide.rs",
    ];
    let sources = sources.map(read);
    let guide = read("docs/sdk-guide.md");

    let pieces: Vec<&str> = guide
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(piece, _)| piece))
        .collect();

    assert!(pieces.len() >= 8, "{} pieces", pieces.len());
    for piece in pieces {
        let piece_lines = lines(piece);
        let is_there =
            |source: &String| lines(source).windows(piece_lines.len()).any(|window| window == piece_lines);
        assert!(
            sources.iter().any(is_there),
            "in docs/sdk-guide.md, and in none of the files it quotes:\n{piece}"
        );
    }
}
