//! Tells cargo when to embed the page anew. Builds nothing and knows nothing of Node.

fn main() {
    // The files that were embedded are watched by rustc; a first or a wholly new build of the page is not.
    // A path that does not exist would make every build a new one, so without `web/dist` its parent is watched.
    let built = std::path::Path::new("web/dist").exists();
    println!("cargo::rerun-if-changed={}", if built { "web/dist" } else { "web" });
    println!("cargo::rerun-if-changed=build.rs");
}
