//! The compiler process of the tests.

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(2).collect();
    tidemill_wasm::compile_for_parent(&args)
}
