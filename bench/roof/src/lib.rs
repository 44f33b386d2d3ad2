//! The roof: what this machine's 128-bit SIMD can do at most, seen through a wasm engine.
//!
//! Every export does a known number of operations and nothing else; `roof.mjs` times them. All operands, and the
//! length of every loop, come from JavaScript through linear memory, so the compiler can neither fold nor hoist the
//! work. The crate is empty on other targets: it has a meaning in an engine only.
#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod probe;

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
