//! What the WebAssembly build does in a browser: `wasm-pack test --headless --chrome`.
#![cfg(target_arch = "wasm32")]

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn runs_in_a_browser() {
    let window = js_sys::Reflect::get(&js_sys::global(), &"document".into()).expect("a global can be read");
    assert!(!window.is_undefined());
}
