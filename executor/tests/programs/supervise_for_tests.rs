//! A program for the tests: a supervisor, or a worker that can be killed from outside.

fn main() {
    std::process::exit(tidemill_executor::supervise());
}
