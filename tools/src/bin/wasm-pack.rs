//! The wasm-pack command line.

use clap::Parser;

fn main() {
    let arguments = wasm_pack::Cli::parse();
    wasm_pack::PBAR.set_log_level(arguments.log_level);
    wasm_pack::PBAR.set_quiet(arguments.quiet);
    if let Err(error) = wasm_pack::command::run_wasm_pack(arguments.cmd) {
        eprintln!("Error: {error:#}");
        std::process::exit(1);
    }
}
