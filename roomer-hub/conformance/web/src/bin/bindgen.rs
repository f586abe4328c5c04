//! `bindgen LIBRARY FOLDER`: generates a JavaScript module from a library compiled to WebAssembly.

#[cfg(not(target_family = "wasm"))]
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder] = &arguments[..] else {
        anyhow::bail!("usage: bindgen LIBRARY FOLDER");
    };
    wasm_bindgen_cli_support::Bindgen::new().input_path(library).web(true)?.generate(folder)
}

#[cfg(target_family = "wasm")]
fn main() {}
