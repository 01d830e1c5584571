//! What completes snapshots, for JavaScript: a module beside the engine's, which a page loads when a snapshot comes without what
//! the engine evaluates. `pkg-templates/src/compiler.ts` is the other side.
//!
//! JavaScript keeps what [`create`] gave it, and hands it to one function at a time: what the references here ask for. The module
//! has one thread, and the one function that it calls does not call back.

use crate::snapshot::complete as completed;

// SAFETY: the module is built without threads.
#[global_allocator]
static ALLOCATOR: lol_alloc::AssumeSingleThreaded<lol_alloc::FreeListAllocator> =
    unsafe { lol_alloc::AssumeSingleThreaded::new(lol_alloc::FreeListAllocator::new()) };

/// JavaScript's `Number(text)`, which rounds to the nearest double as Rust's `parse` does.
pub(crate) fn parse_number(text: &str) -> f64 {
    #[link(wasm_import_module = "js")]
    unsafe extern "C" {
        fn number(text: *const u8, length: usize) -> f64;
    }
    // SAFETY: JavaScript reads the text while it is borrowed, and nothing else.
    unsafe { number(text.as_ptr(), text.len()) }
}

/// Room for a payload, and for what comes of it.
#[derive(Default)]
pub struct Compiler {
    input: Vec<u8>,
    output: String,
}

/// A compiler, for one payload after the other.
#[unsafe(no_mangle)]
pub extern "C" fn create() -> Box<Compiler> {
    Box::default()
}

/// Where the payload is to be written: so many bytes of UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn input(compiler: &mut Compiler, length: usize) -> *mut u8 {
    compiler.input = vec![0; length];
    compiler.input.as_mut_ptr()
}

/// Completes the payload in the input, into the output; where it is no snapshot's, that says why not.
#[unsafe(no_mangle)]
pub extern "C" fn complete(compiler: &mut Compiler) -> bool {
    let payload = String::from_utf8(std::mem::take(&mut compiler.input)).unwrap_or_default();
    let completed = completed(&payload);
    let is_complete = completed.is_ok();
    compiler.output = completed.unwrap_or_else(|error| error.text());
    is_complete
}

/// Where the output stands.
#[unsafe(no_mangle)]
pub extern "C" fn output(compiler: &Compiler) -> *const u8 {
    compiler.output.as_ptr()
}

/// How many bytes of UTF-8 it has.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn outputLength(compiler: &Compiler) -> usize {
    compiler.output.len()
}
