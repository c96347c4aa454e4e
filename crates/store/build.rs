//! Tells cargo that the migrations are part of this crate, so that a new file is noticed.
//! Knows nothing of what stands in them.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
