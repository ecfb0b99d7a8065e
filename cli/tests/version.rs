//! The binary starts. (That it is here has cargo build the binary before any test of the workspace runs.)

#[test]
fn the_binary_starts() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lonja")).arg("version").output();
    assert!(output.expect("it starts").status.success());
}
