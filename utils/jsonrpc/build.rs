//! Plugins of the C gateway call two functions of the server that loads them: the linker must put
//! those into the program's table of dynamic symbols.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-rdynamic");
}
